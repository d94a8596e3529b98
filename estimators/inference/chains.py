"""Draws of several Markov chains, and the loop that makes them."""

from collections.abc import Callable, Sequence
from typing import NamedTuple, Protocol, TypeVar, runtime_checkable

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from jensen.core import keys
from jensen.core.contracts import Key
from jensen.estimators.diagnostics._mixing import LEAST, Mixing, mixing
from jensen.estimators.inference.fitting import Progress, Trace

EVERY = 100  # steps between lines of progress


class Chains(NamedTuple):
    """t draws of each of m chains with their log densities in nats, and what share of proposals was accepted."""

    z: Float[Tensor, "t m d"]
    log_p: Float[Tensor, "t m"]
    accept: Float[Tensor, " m"]
    divergences: Int[Tensor, ""]  # trajectories whose energy rose without bound

    @property
    def draws(self) -> Float[Tensor, "s 1 d"]:
        """All of them, one chain after another, as samples of one datum."""
        return self.z.transpose(0, 1).flatten(0, 1)[:, None]

    def mixing(self, of: Callable[[Tensor], Tensor] = lambda z: z) -> Mixing:
        """R-hat, effective draws and errors of coordinates, or of quantities of z (t, m, d) such as posterior.flat."""
        return mixing(of(self.z))

    @property
    def reliable(self) -> bool:
        """Whether every coordinate has mixed, and no trajectory diverged."""
        return not self.divergences.item() and bool(self.mixing().mixed.all())

    def verdict(self, names: Sequence[str] = ()) -> str:
        """Whether the draws may be used; names are of the d coordinates, which are numbered otherwise."""
        mixed = self.mixing().verdict(names)
        if not self.divergences.item():
            return mixed
        return (
            f"{mixed}; {self.divergences.item()} of {self.log_p.numel()} trajectories diverged, "
            "where the posterior bends too much for the steps: raise target, or choose other parameters, such as not "
            "centred ones"
        )


@runtime_checkable
class Position(Protocol):
    """What every State of chains has."""

    @property
    def z(self) -> Tensor: ...
    @property
    def log_p(self) -> Tensor: ...


@runtime_checkable
class Proposed(Progress, Protocol):
    """What every Info of chains has."""

    @property
    def accept(self) -> Tensor: ...
    @property
    def divergent(self) -> Bool[Tensor, " m"]: ...


S = TypeVar("S", bound=Position)


def run(
    key: Key,
    update: Callable[[S, Key], tuple[S, Proposed]],
    state: S,
    steps: int,
    progress: Callable[[str], object] | None = None,
) -> tuple[Chains, Trace]:
    """`steps` draws of each chain, and the trace of the draws' mean log densities with its errors over chains."""
    states, proposed = [], []
    for i in range(steps):
        state, info = update(state, keys.fold_in(key, i))
        states.append(state)
        proposed.append(info)
        if progress is not None and (i + 1) % EVERY == 0:
            progress(f"draw {i + 1} of {steps}: acceptance {info.accept.mean().item():.2f}")
    z, log_p = torch.stack([each.z for each in states]), torch.stack([each.log_p for each in states])
    accept = torch.stack([info.accept for info in proposed]).mean(0)
    divergences = torch.stack([info.divergent for info in proposed]).sum()
    mixed = torch.as_tensor(steps >= LEAST and bool(mixing(z).mixed.all()), device=z.device)
    trace = Trace(log_p.mean(1), log_p.std(1) / log_p.shape[1] ** 0.5, {}, mixed)
    return Chains(z, log_p, accept, divergences), trace


def acceptance(log_ratio: Float[Tensor, " m"], log_p: Float[Tensor, " m"]) -> Float[Tensor, " m"]:
    """min(1, ratio) of proposals with log density log_p: 0 where either is NaN, or log_p +inf, as no density is."""
    accept = torch.exp(log_ratio.clamp_max(0)).nan_to_num(nan=0.0)
    return torch.where(log_p.isfinite(), accept, 0.0)


def along(factor: Float[Tensor, "d *d"], t: Float[Tensor, "m d"]) -> Float[Tensor, "m d"]:
    """factor t for each chain, of a lower-triangular factor or of scales."""
    return factor * t if factor.ndim == 1 else t @ factor.T

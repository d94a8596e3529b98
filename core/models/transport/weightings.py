"""How much each level's error of the noise counts in a diffusion's loss: frozen values, callable with the levels.

    loss = E_t weight_t |noise(x_t, t) - noise|²,    t uniform on 1, ..., T

SIMPLE        1                                           Ho et al., 2020
Bound()       T times the error's weight in the ELBO      Kingma et al., 2021
MinSnr()      min(snr, limit) / snr                       Hang et al., 2023
P2()          1 / (offset + snr)^exponent                 Choi et al., 2022

with snr = a_t / (1 - a_t). Any of them is the ELBO with its terms weighted, by its own weights over those of `Bound`
(Kingma and Gao, 2023): the minimum of each term is the same E[noise | x_t], and what differs is which levels a network
that is too small for all of them is good at. Only `Bound` maximises a bound on log p.
"""

from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Float
from torch import Tensor

from jensen.core.checks import check_number
from jensen.core.models.transport.noise_levels import Levels


@runtime_checkable
class Weighting(Protocol):
    """Weights (T,) of the squared error of the noise, by step."""

    def __call__(self, levels: Levels, /) -> Float[Tensor, " T"]: ...


@dataclass(frozen=True)
class Simple:
    """1 at each level, so that those of much noise count for more than in the bound."""

    def __call__(self, levels: Levels, /) -> Float[Tensor, " T"]:
        return torch.ones_like(levels.kept)


@dataclass(frozen=True)
class Bound:
    """T beta_t² / (2 v_t (1 - a_t) (1 - beta_t)): the loss is minus the ELBO in nats, up to a constant of the levels.

    Where T grows that is T / 2 of what log snr falls by at the step, the -SNR' / SNR of continuous time.
    """

    def __call__(self, levels: Levels, /) -> Float[Tensor, " T"]:
        kept, _, beta, variance = levels
        return 0.5 * len(kept) * beta.square() / ((1 - kept) * (1 - beta) * variance)


@dataclass(frozen=True)
class MinSnr:
    """|x_0 - x̂_0|² where snr is below `limit`, and `limit` in place of its growing weight above."""

    limit: float

    def __call__(self, levels: Levels, /) -> Float[Tensor, " T"]:
        snr = levels.kept / (1 - levels.kept)
        return snr.clamp_max(self.limit) / snr


@dataclass(frozen=True)
class P2:
    """Less for the levels of little noise, whose errors cannot be seen."""

    exponent: float
    offset: float

    def __call__(self, levels: Levels, /) -> Float[Tensor, " T"]:
        snr = levels.kept / (1 - levels.kept)
        return (self.offset + snr) ** -self.exponent


SIMPLE, BOUND = Simple(), Bound()


def min_snr(limit: float = 5.0) -> MinSnr:
    """The paper's limit unless given."""
    return MinSnr(check_number("limit", limit, "(0, inf)"))


def p2(exponent: float = 1.0, offset: float = 1.0) -> P2:
    """The paper's numbers unless given."""
    return P2(check_number("exponent", exponent, "[0, inf)"), check_number("offset", offset, "(0, inf)"))


WEIGHTINGS: dict[str, Weighting] = {"simple": SIMPLE, "bound": BOUND, "min-snr": min_snr(), "p2": p2()}

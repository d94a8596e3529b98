"""What `fit` gives, of every algorithm: `fit(key, ...) -> (posterior, trace)`; and the loop of those that climb.

An algorithm's module has State, Info, init, update and fit, in this order. `update(state, ...) -> (state, Info)` is
pure, and Info is about the state before the update: `objective`, in nats per data set, and `terms` that sum to it.
`fit` returns a posterior, which is a value, and the `Trace` of the Infos:

    posterior, trace = em.fit(key, x, 3)
    trace.objective, trace.converged                # (t,), 0-d

An algorithm whose every update raises its objective is `climb(update, init(...), steps, tolerance)`; one with noise
stacks its Infos by `traced`, with the standard error of each objective.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple, Protocol, TypeVar, runtime_checkable

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from jensen.core import trees

EVERY = 20  # updates between lines of progress
ROUNDING = 8.0  # of the objective's last digit: gains and falls below so many are rounding's
S = TypeVar("S")


class Trace(NamedTuple):
    """What was raised, in nats per data set, of the state before each of t updates; the last is of the posterior's.

    standard_error is 0 where the objective is exact. terms sum to the objective. converged is False where the steps
    ended first.
    """

    objective: Float[Tensor, " t"]
    standard_error: Float[Tensor, " t"]
    terms: dict[str, Float[Tensor, " t"]]
    converged: Bool[Tensor, ""]

    def fall(self) -> Float[Tensor, ""]:
        """The largest fall from one objective to the next, in units of the last digit of its size: 0 for none."""
        if len(self.objective) < 2:
            return self.objective.new_zeros(())
        size = self.objective.abs().amax() * torch.finfo(self.objective.dtype).eps
        return (-self.objective.diff().amin()).clamp_min(0) / size.clamp_min(torch.finfo(size.dtype).tiny)


@runtime_checkable
class Progress(Protocol):
    """What an algorithm's Info has for a trace, beside what is its own."""

    @property
    def objective(self) -> Tensor: ...
    @property
    def terms(self) -> Mapping[str, Tensor]: ...


def traced(
    infos: Sequence[Progress], converged: bool | Tensor, standard_errors: Sequence[Tensor] | None = None
) -> Trace:
    """The Infos of one run as its trace; without standard errors its objectives are exact."""
    objective = torch.stack([info.objective for info in infos])
    errors = torch.zeros_like(objective) if standard_errors is None else torch.stack(list(standard_errors))
    terms = trees.map(lambda *each: torch.stack(each), *(dict(info.terms) for info in infos))
    return Trace(objective, errors, terms, torch.as_tensor(converged, device=objective.device))


def climb(
    update: Callable[[S], tuple[S, Progress]],
    state: S,
    steps: int,
    tolerance: float,
    progress: Callable[[str], object] | None = None,
) -> tuple[S, Trace]:
    """Updates until one gains no more than `tolerance` nats, or rounding's share of the objective; at most `steps`.

    The state that is returned is the one of the trace's last objective. ValueError where that is NaN.
    """
    moved, info = update(state)
    infos, converged = [info], False
    for i in range(steps):
        state, before = moved, info.objective
        moved, info = update(state)
        infos.append(info)
        if info.objective.isnan():
            look = "look for NaN in the model's terms"
            raise ValueError(f"expected an objective in nats, got NaN after {len(infos) - 1} updates: {look}")
        if progress is not None and (i + 1) % EVERY == 0:
            progress(f"update {i + 1} of {steps} at most: {info.objective.item():.3f} nats")
        rounding = ROUNDING * torch.finfo(before.dtype).eps * before.abs()
        if converged := bool(info.objective - before <= torch.clamp_min(rounding, tolerance)):
            break
    return state, traced(infos, converged)

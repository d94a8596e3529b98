"""Black-box variational inference (Ranganath et al., 2014; Kucukelbir et al., 2017), from Laplace's coordinates.

    approximation, trace = fit(key, posterior, posterior.starts(start_key, 4))
    approximation.draws(key, 1000), approximation.elbo, approximation.evidence
    approximation.verdict()

    state, info = update(init(q), log_p, key)                    # one step of Adam

Approximates  p(z | x) by the member of q's family with the highest bound
With          z = mode + factor u, in which the posterior is near N(0, I), of the best mode that the starts climb to
              (`coordinates`); for normals natural gradients (`natural`), for others steps of Adam on the estimator's
              gradient, in rounds whose steps halve; the average of a round's q, kept where its ELBO rises on draws that
              all rounds share
Requires      a log density with the derivatives that the estimator needs; two of them for Laplace's coordinates
Unbiased when never; the ELBO that is reported is an unbiased estimate of q's own, on draws that chose nothing
Cost          the climb, a Hessian, s evaluations of log p with their gradients a step, and `samples` at the end
Reference     Ranganath et al., 2014; Kucukelbir et al., 2017; Agrawal et al., 2020, for rounds and averages
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor
from torch.func import grad_and_value

from jensen.core import distributions, keys, trees
from jensen.core.checks import (
    check_choice,
    check_count,
    check_distribution,
    check_floating,
    check_function,
    check_key,
    check_number,
    described,
)
from jensen.core.contracts import Distribution, GradientEstimator, Key, LogDensity
from jensen.core.distributions import DiagNormal, FullNormal, Pushforward
from jensen.core.flows import Triangular
from jensen.estimators.gradients import stl
from jensen.estimators.inference import natural
from jensen.estimators.inference._adam import ascent
from jensen.estimators.inference.approximation import Approximation, judge
from jensen.estimators.inference.coordinates import COORDINATES, Coordinates, around, around_a_mode, in_coordinates
from jensen.estimators.inference.fitting import Trace
from jensen.estimators.inference.rounds import best_of_rounds, is_wild
from jensen.estimators.inference.starting import check_log_p

LARGEST = 256  # dimensions of a covariance of which a hundred draws a step tell enough
ESTIMATORS = "stl, or partial(dreg, bound=bounds.iwae)"


@dataclass(frozen=True)
class Adam:
    """What a round of Adam is: `steps` updates of s draws each, whose size halves from one round to the next.

    The estimator is of the gradient, and by partial(dreg, bound=bounds.iwae) of which bound.
    """

    steps: int = 100
    step_size: float = 0.05
    s: int = 10
    estimator: GradientEstimator = stl

    def __post_init__(self) -> None:
        check_count("steps", self.steps)
        check_number("step_size", self.step_size, "(0, inf)")
        check_count("s", self.s)
        check_function("estimator", self.estimator, ESTIMATORS)


class State(NamedTuple):
    """A member of q's family in coordinates without constraints, Adam's moments of its gradient, and the average."""

    q: Distribution  # of the family: only its kind matters
    free: Distribution
    first: Distribution
    second: Distribution
    total: Distribution  # of `free` over the steps that are averaged
    averaged: Float[Tensor, ""]
    steps: Float[Tensor, ""]

    def now(self) -> Distribution:
        """q of the last step."""
        return distributions.from_real(self.q, self.free)

    def average(self) -> Distribution:
        """q whose free coordinates are the mean of those of the last steps."""
        return distributions.from_real(self.q, trees.map(lambda t: t / self.averaged, self.total))


class Info(NamedTuple):
    """The estimate of the bound before a step, in nats."""

    objective: Float[Tensor, ""]
    terms: dict[str, Float[Tensor, ""]]


def init(q: Distribution) -> State:
    """From q, of one row, whose every field is free."""
    check_distribution("q", q)
    free = trees.stop(distributions.to_real(q))
    zero = trees.map(torch.zeros_like, free)
    none = trees.leaves(free)[0].new_zeros(())
    return State(trees.stop(q), free, zero, zero, zero, none, none)


def update(
    state: State,
    log_p: LogDensity,
    key: Key,
    step_size: float | Tensor = 0.02,
    s: int = 10,
    estimator: GradientEstimator = stl,
) -> tuple[State, Info]:
    """One step of Adam up the bound, of s draws.

    log_p: z (s, 1, *event) -> (s, 1), in nats, such as a `bayes.Posterior`. Of another bound than the ELBO the
    estimator is partial(dreg, bound=bounds.iwae).
    """
    if not isinstance(state, State):
        raise TypeError(f"expected state, a State, got {described(state)}: begin with advi.init(q)")
    check_key(key)
    check_function("estimator", estimator, ESTIMATORS)
    s = check_count("s", s)
    if not isinstance(step_size, Tensor):
        check_number("step_size", step_size, "[0, inf)")

    def value(free: Distribution) -> Tensor:
        q = distributions.from_real(state.q, free)
        return estimator(log_p, q, q.noise(key, s)).sum()

    slopes, found = grad_and_value(value)(state.free)
    steps = state.steps + 1
    free, first, second = ascent(state.free, state.first, state.second, slopes, steps, step_size)
    total = trees.map(torch.add, state.total, free)
    return State(state.q, free, first, second, total, state.averaged + 1, steps), Info(found.detach(), {})


def fit(
    key: Key,
    log_p: LogDensity,
    start: Float[Tensor, "m d"],
    q: Distribution | None = None,
    coordinates: Coordinates = "full",
    adam: Adam | None = None,
    rounds: int = 8,
    tolerance: float = 0.03,
    samples: int = 4000,
    batch: Callable[[Key], LogDensity] | None = None,
    progress: Callable[[str], object] | None = None,
) -> tuple[Approximation, Trace]:
    """The best q of a family, and what it is worth; the trace is of each round's ELBO, in nats with its error.

    log_p   z (s, m, d) -> (s, m), in nats, such as a `bayes.Posterior`
    start   points that the mode is climbed to from, such as posterior.starts(key, 4)
    q       the family, by its member near N(0, I) in the coordinates: (1, d), full-rank normals unless given
    coordinates  "full" of Laplace's covariance, "diagonal" for a mean field, "own" for z itself without a climb, as
            for a q that does not begin near N(0, I)
    adam    steps such as Adam(steps=300, step_size=0.01), Adam() unless given; but without it full-rank normals of up
            to 256 dimensions, and mean fields in diagonal coordinates, are those of `natural.fit`
    batch   key -> the log density of a step's minibatch, in place of log_p in the steps

    A round of either is the last where its ELBO is within `tolerance` nats of gaining nothing, on shared draws, and
    k-hat no longer falls. ValueError for a family that the estimator cannot take.
    """
    check_key(key)
    check_floating("start", start, "m d", "a row for each start, such as posterior.starts(key, 4)")
    check_choice("coordinates", coordinates, COORDINATES)
    if adam is not None and not isinstance(adam, Adam):
        raise TypeError(f"expected adam, advi.Adam(...), got {described(adam)}: pass Adam(steps=300, step_size=0.01)")
    rounds, samples = check_count("rounds", rounds), check_count("samples", samples, 2)
    tolerance = check_number("tolerance", tolerance, "[0, inf)", "in nats, such as 0.01")
    if batch is not None:
        check_function("batch", batch, "lambda key: posterior.minibatch(keys.permutation(key, n)[:b])")
    if q is not None:
        check_distribution("q", q)
        if coordinates != "own":
            _check_family(q, key, start.shape[1])
    else:
        q = FullNormal.from_diagonal(DiagNormal(torch.zeros_like(start[:1]), torch.zeros_like(start[:1])))
    covariance = _natural(q, coordinates, start.shape[1])
    if adam is None and covariance is not None:
        return natural.fit(
            key, log_p, start, covariance, rounds=rounds, tolerance=tolerance, samples=samples, batch=batch,
            progress=progress,
        )  # fmt: skip
    steps = Adam() if adam is None else adam
    run_key, shared_key, judge_key, look_key = keys.split(key, 4)
    check_log_p(log_p, look_key)
    where, at_mode = around_a_mode(log_p, start, coordinates)
    if where is not None and at_mode and is_wild(in_coordinates(log_p, where), q, shared_key):
        where, at_mode = around(start), False
    of_u = in_coordinates(log_p, where)

    def go(i: int, q: Distribution) -> Distribution:
        return _round(keys.fold_in(run_key, i), q, of_u, where, steps, steps.step_size / 2**i, batch)

    best, trace = best_of_rounds(go, of_u, trees.stop(q), shared_key, rounds, tolerance, progress)
    return judge(log_p, best if where is None else Pushforward(best, (where,)), judge_key, samples, at_mode), trace


def _check_family(q: Distribution, key: Key, d: int) -> None:
    """ValueError for a q of more rows than one, or of other coordinates than a start's d."""
    shape = trees.leaves(q.sample(q.noise(key, 1)))[0].shape
    if shape != (1, 1, d):
        raise ValueError(
            f"expected q of one row and {d} coordinates, as start has, got a sample {tuple(shape)}: "
            f"write DiagNormal(torch.zeros(1, {d}), torch.zeros(1, {d})), or another (1, {d})"
        )


def _natural(q: Distribution, coordinates: Coordinates, d: int) -> natural.Covariance | None:
    """The covariance of normals that natural gradients find in z as well as in the coordinates, or None."""
    if isinstance(q, DiagNormal) and coordinates == "diagonal":
        return "diagonal"
    return "full" if isinstance(q, FullNormal) and coordinates != "own" and d <= LARGEST else None


def _round(
    key: Key, q: Distribution, of_u: LogDensity, where: Triangular | None, adam: Adam, step_size: float,
    batch: Callable[[Key], LogDensity] | None,
) -> Distribution:  # fmt: skip
    """The average of q over the second half of a round's steps."""
    state = init(q)
    for i in range(adam.steps):
        if i == adam.steps // 2:
            state = state._replace(
                total=trees.map(torch.zeros_like, state.total), averaged=torch.zeros_like(state.steps)
            )
        now = of_u if batch is None else in_coordinates(batch(keys.fold_in(key, adam.steps + i)), where)
        state, _ = update(state, now, keys.fold_in(key, i), step_size, adam.s, adam.estimator)
    return trees.stop(state.average())

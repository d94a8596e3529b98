"""The posterior on a grid of one or two dimensions, with its evidence and what the grid leaves out.

    grid, trace = fit(key, posterior, posterior.starts(start_key, 4))
    grid.mean, grid.covariance, grid.log_p, grid.error
    grid.draws(key, 1000), grid.verdict()

    state, info = update(init(posterior, start), posterior)      # one grid, and a box that holds the mass better

Approximates  p(z | x) by its values at the points of a box, multilinear between them; log p(x) by the trapezoidal rule
With          z = mode + factor u by Laplace's coordinates at the best mode the starts climb to, and a box of u that is
              widened where its edge has mass and trimmed where it has none; or a box of z that is given
Requires      log p, with two derivatives unless bounds are given; one or two dimensions
Unbiased when never; for a smooth density within the box the error falls faster than any power of the spacing. Modes
              apart from the best, beyond the box, are not seen
Cost          points^d evaluations of log p for each box
Reference     Trefethen and Weideman, 2014, for the rule; Gelman et al., 2013, section 3.7
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from jensen.core.checks import check_count, check_floating, check_function, check_key, described
from jensen.core.contracts import Key, LogDensity
from jensen.estimators.inference._box import Box, weighted
from jensen.estimators.inference.fitting import Trace, traced
from jensen.estimators.inference.gridded import EDGE, Grid
from jensen.estimators.inference.starting import check_log_p

MOST = 2  # dimensions
TRIMMED = 1e-12  # of the mass, that a side may lose


class State(NamedTuple):
    """The box whose grid is next."""

    box: Box


class Info(NamedTuple):
    """Of a box: log p(x) in nats, and by how much half the points differ; shares of the mass.

    log_weights (points, ...) are the logs of shares; edge has those of each axis at its low and high side.
    """

    objective: Float[Tensor, ""]
    terms: dict[str, Float[Tensor, ""]]
    error: Float[Tensor, ""]
    edge: Float[Tensor, "d 2"]
    log_weights: Float[Tensor, "..."]
    settled: Bool[Tensor, ""]  # whether the next box is nearly this one


def init(log_p: LogDensity, start: Float[Tensor, "m d"], bounds: Sequence[tuple[float, float]] | None = None) -> State:
    """The first box: six of Laplace's scales to each side of the best mode, or bounds (low, high) of each dimension."""
    check_function("log_p", log_p, "condition(model, data)")
    check_floating("start", start, "m d", "a row for each start, such as posterior.starts(key, 4)")
    _check_dimension(start, 101)
    return State(Box.about_a_mode(log_p, start) if bounds is None else Box.of(bounds, start))


@torch.no_grad()
def update(state: State, log_p: LogDensity, points: int = 201) -> tuple[State, Info]:
    """The box's grid, and the next box: widened by half where an edge has mass, trimmed where there is none.

    points: along each axis, rounded up to an odd number. log_p: z (s, 1, d) -> (s, 1), in nats.
    """
    if not isinstance(state, State):
        raise TypeError(f"expected state, a State, got {described(state)}: begin with grid.init(log_p, start)")
    points = check_count("points", points, 5) // 2 * 2 + 1
    box, d = state.box, len(state.box.low)
    value, spacing = box.log_density(log_p, points), box.spacing(points)
    log_w = weighted(value, spacing)
    log_z = log_w.logsumexp(tuple(range(d)))
    half = weighted(value[(slice(None, None, 2),) * d], 2 * spacing).logsumexp(tuple(range(d)))
    shares = (log_w - log_z).exp()
    marginals = torch.stack([shares.movedim(i, 0).flatten(1).sum(1) if d > 1 else shares for i in range(d)])
    edge = marginals[:, [0, -1]]
    low = _side(marginals, edge[:, 0], spacing)
    high = _side(marginals.flip(-1), edge[:, 1], spacing)
    width = spacing * (points - 1)
    settled = ((edge <= EDGE) & (torch.stack([low, high], -1) < width[:, None] / 4)).all()
    after = box._replace(low=box.low + low.to(box.low), high=box.high - high.to(box.high))
    return State(after), Info(log_z, {}, (log_z - half).abs(), edge, log_w - log_z, settled)


@torch.no_grad()
def fit(
    key: Key,
    log_p: LogDensity,
    start: Float[Tensor, "m d"],
    points: int = 201,
    bounds: Sequence[tuple[float, float]] | None = None,
    rounds: int = 12,
    progress: Callable[[str], object] | None = None,
) -> tuple[Grid, Trace]:
    """The grid of the box that holds the mass; the trace is of each box's log p(x) in nats, and half the points' error.

    log_p   z (s, 1, d) -> (s, 1), in nats, such as a `bayes.Posterior`; d is 1 or 2. ValueError above, with what a
            grid would need
    start   points that the mode is climbed to from, such as posterior.starts(key, 4)
    bounds  (low, high) of each dimension in place of the boxes about the mode, at most `rounds` of them

    Nothing that is returned is random: the key is for points at which a `bayes.Posterior` is looked at first.
    """
    check_key(key)
    points, rounds = check_count("points", points, 5), check_count("rounds", rounds)
    check_floating("start", start, "m d", "a row for each start, such as posterior.starts(key, 4)")
    _check_dimension(start, points)
    check_log_p(log_p, key)
    state, infos = init(log_p, start, bounds), []
    after, info = update(state, log_p, points)
    infos.append(info)
    while bounds is None and not info.settled and len(infos) < rounds:
        state = after
        after, info = update(state, log_p, points)
        infos.append(info)
        if progress is not None:
            progress(f"box {len(infos)} of {rounds} at most: log p(x) {info.objective.item():.3f}")
    grid = Grid(state.box, info.log_weights, info.objective, info.error, info.edge)
    return grid, traced(infos, bool(info.settled) or bounds is not None, [each.error for each in infos])


def _check_dimension(start: Tensor, points: int) -> None:
    if not len(start):
        raise ValueError("expected start (m, d) with m >= 1, got none: give a point to climb from")
    d = start.shape[1]
    if not 1 <= d <= MOST:
        count = points**d
        raise ValueError(
            f"expected start (m, d) with d of 1 or 2, got d = {d}: a grid of {points} points an axis would have "
            f"{count:.3g} of them, {count * start.element_size() / 1e9:.3g} GB for log p alone: take hmc or advi"
        )


def _side(marginals: Float[Tensor, "d k"], edge: Float[Tensor, " d"], spacing: Float[Tensor, " d"]) -> Tensor:
    """How far inwards a side moves: to the last point before mass, or out by half of the width where it has some."""
    empty = (marginals.cumsum(-1) <= TRIMMED).sum(-1)
    inwards = (empty - 1).clamp_min(0) * spacing
    return torch.where(edge > EDGE, -spacing * (marginals.shape[-1] - 1) / 2, inwards)

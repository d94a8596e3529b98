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

from collections.abc import Sequence
from typing import NamedTuple

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from jensen.core import keys
from jensen.core.checks import check_count, check_floating, check_function, check_key, described
from jensen.core.contracts import Key, LogDensity
from jensen.core.flows import Triangular
from jensen.estimators.gradients.contract import density
from jensen.estimators.inference.coordinates import around_a_mode
from jensen.estimators.inference.fitting import Trace, traced
from jensen.estimators.inference.starting import check_log_p

MOST = 2  # dimensions
WIDTH = 6.0  # of the first box to each side, in Laplace's scales
EDGE = 1e-8  # of the mass at a side's points, above which a box is widened there
TRIMMED = 1e-12  # of the mass, that a side may lose
CHUNK = 4096  # points at once


class State(NamedTuple):
    """A box of u, with z = where.forward(u)."""

    where: Triangular
    low: Float[Tensor, " d"]
    high: Float[Tensor, " d"]


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


class Grid(NamedTuple):
    """The posterior on a box: log p(x) in nats, how much half the points differ from it, and shares of the mass."""

    state: State
    log_weights: Float[Tensor, "..."]  # (points,) or (points, points)
    log_p: Float[Tensor, ""]
    error: Float[Tensor, ""]
    edge: Float[Tensor, "d 2"]  # of the mass, at each axis' low and high side

    @property
    def z(self) -> Float[Tensor, "k d"]:
        """The points, whose shares are exp(log_weights.flatten())."""
        return _points(self.state, len(self.log_weights))

    @property
    def mean(self) -> Float[Tensor, " d"]:
        return self.log_weights.flatten().exp() @ self.z.double()

    @property
    def covariance(self) -> Float[Tensor, "d d"]:
        apart = self.z.double() - self.mean
        return (self.log_weights.flatten().exp()[:, None] * apart).T @ apart

    def draws(self, key: Key, s: int) -> Float[Tensor, "s 1 d"]:
        """Independent draws of the density that is linear between points along each axis."""
        check_key(key)
        s = check_count("s", s)
        point_key, place_key = keys.split(key)
        share = self.log_weights.flatten().exp().cumsum(0)
        chosen = keys.uniform(point_key, (1, s), share.dtype)[0] * share[-1]
        place = torch.searchsorted(share, chosen, right=True).clamp_max(len(share) - 1)
        index = torch.stack(torch.unravel_index(place, self.log_weights.shape), -1).to(share)
        pair = keys.uniform(place_key, (2, s, index.shape[-1]), share.dtype)
        last = len(self.log_weights) - 1
        index = (index + pair[0] - pair[1]).abs()  # a hat around each point, half of it at an edge
        index = last - (last - index).abs()
        low, high = self.state.low, self.state.high
        return _of(self.state, low + (high - low) * (index / last).to(low))[:, None]

    def verdict(self) -> str:
        """Whether the box holds the mass, and the grid resolves it."""
        reasons = []
        if (beyond := self.edge.max()) > EDGE:
            reasons.append(
                f"{beyond.item():.1g} of the mass is at the points of one edge: give wider bounds, unless the density "
                "ends there"
            )
        if not self.error <= 0.01:
            reasons.append(
                f"half the points give log p(x) {self.error.item():.2g} nats apart: take more points, or bounds nearer "
                "the mass"
            )
        return "; ".join(reasons) or f"log p(x) by the grid is known to {self.error.item():.1g} nats"


def init(log_p: LogDensity, start: Float[Tensor, "m d"], bounds: Sequence[tuple[float, float]] | None = None) -> State:
    """The first box: six of Laplace's scales to each side of the best mode, or bounds (low, high) of each dimension."""
    check_function("log_p", log_p, "condition(model, data)")
    check_floating("start", start, "m d", "a row for each start, such as posterior.starts(key, 4)")
    _check_dimension(start, 101)
    if bounds is None:
        where, _ = around_a_mode(log_p, start, "full")
        assert where is not None
        return State(where, torch.full_like(where.loc, -WIDTH), torch.full_like(where.loc, WIDTH))
    low, high = _checked(bounds, start)
    return State(Triangular.identity(len(low), start.dtype), low, high)


@torch.no_grad()
def update(state: State, log_p: LogDensity, points: int = 201) -> tuple[State, Info]:
    """The box's grid, and the next box: widened by half where an edge has mass, trimmed where there is none.

    points: along each axis, rounded up to an odd number. log_p: z (s, 1, d) -> (s, 1), in nats.
    """
    if not isinstance(state, State):
        raise TypeError(f"expected state, a State, got {described(state)}: begin with grid.init(log_p, start)")
    points = check_count("points", points, 5) // 2 * 2 + 1
    d = len(state.low)
    value = _density(state, log_p, points)
    spacing = (state.high - state.low).double() / (points - 1)
    log_w = _weighted(value, spacing)
    log_z = log_w.logsumexp(tuple(range(d)))
    half = _weighted(value[(slice(None, None, 2),) * d], 2 * spacing).logsumexp(tuple(range(d)))
    shares = (log_w - log_z).exp()
    marginals = torch.stack([shares.movedim(i, 0).flatten(1).sum(1) if d > 1 else shares for i in range(d)])
    edge = marginals[:, [0, -1]]
    low = _side(marginals, edge[:, 0], spacing)
    high = _side(marginals.flip(-1), edge[:, 1], spacing)
    width = spacing * (points - 1)
    settled = ((edge <= EDGE) & (torch.stack([low, high], -1) < width[:, None] / 4)).all()
    after = State(state.where, state.low + low.to(state.low), state.high - high.to(state.high))
    return after, Info(log_z, {}, (log_z - half).abs(), edge, log_w - log_z, settled)


@torch.no_grad()
def fit(
    key: Key,
    log_p: LogDensity,
    start: Float[Tensor, "m d"],
    points: int = 201,
    bounds: Sequence[tuple[float, float]] | None = None,
    rounds: int = 12,
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
    grid = Grid(state, info.log_weights, info.objective, info.error, info.edge)
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


def _checked(bounds: Sequence[tuple[float, float]], start: Tensor) -> tuple[Tensor, Tensor]:
    d = start.shape[1]
    try:
        box = torch.as_tensor(bounds, dtype=start.dtype, device=start.device)
    except (TypeError, ValueError, RuntimeError) as error:
        raise TypeError(
            f"expected bounds, {d} pairs (low, high), got {described(bounds)}: pass [(-1.0, 1.0)] for one dimension"
        ) from error
    if box.shape != (d, 2) or not box.isfinite().all() or not (box[:, 0] < box[:, 1]).all():
        raise ValueError(
            f"expected bounds, {d} finite pairs (low, high) with low < high, got {box.tolist()}: pass one for each "
            "dimension"
        )
    return box[:, 0], box[:, 1]


def _points(state: State, points: int) -> Float[Tensor, "k d"]:
    axes = [
        low + (high - low) * torch.linspace(0, 1, points, dtype=low.dtype, device=low.device)
        for low, high in zip(state.low, state.high, strict=True)
    ]
    return _of(state, torch.stack(torch.meshgrid(*axes, indexing="ij"), -1).flatten(0, -2))


def _of(state: State, u: Float[Tensor, "k d"]) -> Float[Tensor, "k d"]:
    return state.where.forward(u[:, None])[0][:, 0]


def _density(state: State, log_p: LogDensity, points: int) -> Float[Tensor, "..."]:
    """The log density of u at the box's points. ValueError where it is NaN or inf, or zero everywhere."""
    z = _points(state, points)
    value = torch.cat([density(log_p, some[:, None])[:, 0] for some in z.split(CHUNK)]).double()
    wrong = value.isnan() | (value == torch.inf)
    if wrong.any():
        at, found = z[wrong][0].tolist(), value[wrong][0].item()
        raise ValueError(f"expected log_p finite or -inf on the grid, got {found} at z = {at}: look at log_p there")
    if not value.isfinite().any():
        raise ValueError("expected mass on the grid, got log_p = -inf at every point: give bounds that hold it")
    return (value + state.where.log_scale.double().sum()).reshape((points,) * len(state.low))


def _weighted(value: Float[Tensor, "..."], spacing: Float[Tensor, " d"]) -> Float[Tensor, "..."]:
    """The log density plus the logs of the trapezoidal rule's weights."""
    for i, step in enumerate(spacing):
        weight = torch.full((value.shape[i],), 1.0, dtype=value.dtype, device=value.device)
        weight[[0, -1]] = 0.5
        value = value + (step * weight).log().reshape([-1 if j == i else 1 for j in range(value.ndim)])
    return value


def _side(marginals: Float[Tensor, "d k"], edge: Float[Tensor, " d"], spacing: Float[Tensor, " d"]) -> Tensor:
    """How far inwards a side moves: to the last point before mass, or out by half of the width where it has some."""
    empty = (marginals.cumsum(-1) <= TRIMMED).sum(-1)
    inwards = (empty - 1).clamp_min(0) * spacing
    return torch.where(edge > EDGE, -spacing * (marginals.shape[-1] - 1) / 2, inwards)

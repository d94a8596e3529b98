"""Pathfinder (Zhang et al., 2022): the normal with the highest ELBO along a quasi-Newton path, of one start or several.

    approximation, trace = fit(key, posterior, posterior.starts(start_key, 8))
    approximation.draws(key, 1000), approximation.evidence       # of all paths, resampled by smoothed weights
    approximation.verdict()

    state, info = update(init(log_p, start), log_p)              # one quasi-Newton step

Approximates  p(z | x) by normals with the inverse Hessians that L-BFGS finds on its way to a mode, one of each path,
              and by their even mixture
With          a diagonal estimate and the last `memory` steps with their changes of the gradient; at each point the
              normal about the point one full step ahead; the best ELBO, by a few draws of each, less two errors
Requires      log p with a gradient, finite at the starts; unconstrained coordinates
Unbiased when never; of a normal posterior exact once `memory` is d or more, as secant steps are exact searches
              there. The approximation is judged on draws of its own
Cost          for each path some 50 steps of two gradients, as many times `draws` evaluations of log p,
              and `memory` updates of a (d, d) matrix a step
Reference     Zhang et al., 2022; Nocedal and Wright, 2006, for L-BFGS; Gilbert and Lemarechal, 1989, for the diagonal
"""

from collections.abc import Callable
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from jensen.core import distributions, keys
from jensen.core.checks import check_count, check_floating, check_key, check_number, described
from jensen.core.contracts import Key, LogDensity
from jensen.core.distributions import FullNormal, Mixture
from jensen.estimators.gradients.contract import density
from jensen.estimators.inference.approximation import Approximation, judge
from jensen.estimators.inference.fitting import Trace
from jensen.estimators.inference.starting import check_finite, check_log_p

ARMIJO = 1e-4  # of the gain that the slope predicts, which a step must have
HALVINGS = 40  # of a step at most
CURVED = 1e-12  # of the gradient's squared change: less curvature is rounding's


class State(NamedTuple):
    """A point of a path with log p and its gradient there, and the last steps with the falls of the gradient."""

    z: Float[Tensor, " d"]
    log_p: Float[Tensor, ""]
    slope: Float[Tensor, " d"]
    diagonal: Float[Tensor, " d"]  # of the inverse of -Hessian, before the steps
    steps: Float[Tensor, "k d"]
    falls: Float[Tensor, "k d"]

    def covariance(self) -> Float[Tensor, "d d"]:
        """The estimate of the inverse of -Hessian."""
        found = torch.diag(self.diagonal)
        unit = torch.eye(len(self.z), dtype=self.z.dtype, device=self.z.device)
        for s, y in zip(self.steps, self.falls, strict=True):
            apart = unit - torch.outer(s, y) / (s @ y)
            found = apart @ found @ apart.T + torch.outer(s, s) / (s @ y)
        return (found + found.T) / 2


class Info(NamedTuple):
    """Of a point: log p in nats, and what a full step from it would gain."""

    objective: Float[Tensor, ""]
    terms: dict[str, Float[Tensor, ""]]
    climb: Float[Tensor, ""]


def init(log_p: LogDensity, start: Float[Tensor, " d"]) -> State:
    """A path's start. ValueError where log p or its gradient is not finite there."""
    check_floating("start", start, "d", "one point, such as posterior.starts(key, 1)[0]")
    value, slope = _at(log_p, start)
    check_finite("log_p and its gradient", (value.isfinite() & slope.isfinite().all())[None])
    size = torch.linalg.vector_norm(slope).clamp_min(1.0)
    none = start.new_zeros(0, len(start))
    return State(start.detach(), value, slope, torch.ones_like(slope) / size, none, none)


@torch.no_grad()
def update(state: State, log_p: LogDensity, memory: int = 6) -> tuple[State, Info]:
    """One step up, halved until it gains and then moved to the secant's root; the same point where no step gains."""
    if not isinstance(state, State):
        raise TypeError(f"expected state, a State, got {described(state)}: begin with pathfinder.init(log_p, start)")
    memory = check_count("memory", memory)
    direction = state.covariance() @ state.slope
    climb = direction @ state.slope
    info = Info(state.log_p, {}, climb / 2)
    size = 1.0
    for _ in range(HALVINGS):
        z = state.z + size * direction
        value, slope = _at(log_p, z)
        if value.isfinite() and slope.isfinite().all() and value - state.log_p >= ARMIJO * size * climb:
            break
        size /= 2
    else:
        return state, info
    if (change := climb - slope @ direction) > 0:  # the secant's root is the best step where log p is quadratic
        ahead = state.z + size * climb / change * direction
        there = _at(log_p, ahead)
        if there[0] > value and there[1].isfinite().all():
            z, (value, slope) = ahead, there
    step, fall = z - state.z, state.slope - slope
    curvature = step @ fall
    after = state._replace(z=z, log_p=value, slope=slope)
    if not curvature > CURVED * (fall @ fall):
        return after, info
    diagonal = _diagonal(state.diagonal, step, fall)
    steps, falls = torch.cat([state.steps, step[None]]), torch.cat([state.falls, fall[None]])
    return after._replace(diagonal=diagonal, steps=steps[-memory:], falls=falls[-memory:]), info


@torch.no_grad()
def fit(
    key: Key,
    log_p: LogDensity,
    start: Float[Tensor, "m d"],
    steps: int = 200,
    memory: int = 6,
    draws: int = 20,
    tolerance: float = 1e-8,
    samples: int = 4000,
    progress: Callable[[str], object] | None = None,
) -> tuple[Approximation, Trace]:
    """The normals of m paths, evenly mixed, and what they are worth; the trace is of each path's best ELBO, in nats.

    log_p: z (s, 1, d) -> (s, 1), in nats, such as a `bayes.Posterior`. A path ends where a full step would gain at most
    `tolerance` nats, or after `steps`; the ELBO of each of its normals is by `draws` draws. ValueError where no normal
    of a path has a finite ELBO.
    """
    check_key(key)
    check_floating("start", start, "m d", "a row for each path, such as posterior.starts(key, 8)")
    if not start.numel():
        raise ValueError(f"expected start (m, d) with m >= 1, got {tuple(start.shape)}: give each path a row")
    steps, memory, draws = check_count("steps", steps), check_count("memory", memory), check_count("draws", draws, 2)
    samples, tolerance = check_count("samples", samples, 2), check_number("tolerance", tolerance, "[0, inf)")
    path_key, judge_key, look_key = keys.split(key, 3)
    check_log_p(log_p, look_key)
    found, ended = [], True
    for i, point in enumerate(start):
        best, settled = _path(keys.fold_in(path_key, i), log_p, point, steps, memory, draws, tolerance)
        found.append(best)
        ended &= settled
        if progress is not None:
            progress(f"path {i + 1} of {len(start)}: ELBO {best[1].item():.3f}")
    normals = [normal for normal, *_ in found]
    q = normals[0]
    if len(normals) > 1:
        components = FullNormal(*(torch.cat(fields)[None] for fields in zip(*normals, strict=True)))
        q = Mixture(start.new_zeros(1, len(normals)), components)
    elbo, error = (torch.stack([each[i] for each in found]) for i in (1, 2))
    return judge(log_p, q, judge_key, samples), Trace(elbo, error, {}, torch.tensor(ended))


def _path(
    key: Key, log_p: LogDensity, point: Tensor, steps: int, memory: int, draws: int, tolerance: float
) -> tuple[tuple[FullNormal, Tensor, Tensor], bool]:
    """(the normal of the highest ELBO, that ELBO, its error), and whether the path ended."""
    state, best, settled = init(log_p, point), None, False
    for i in range(steps + 1):
        tried = _worth(keys.fold_in(key, i), log_p, state, draws)
        if tried is not None and (best is None or _least(tried) > _least(best)):
            best = tried
        after, info = update(state, log_p, memory)
        if settled := bool(info.climb <= tolerance) or after is state:
            break
        state = after
    if best is None:
        raise ValueError("expected a normal with a finite ELBO on each path, got none: start elsewhere")
    return best, settled


def _least(worth: tuple[FullNormal, Tensor, Tensor]) -> Tensor:
    """The ELBO less two of its errors: of many noisy ELBOs the highest is too high."""
    return worth[1] - 2 * worth[2]


def _worth(key: Key, log_p: LogDensity, state: State, draws: int) -> tuple[FullNormal, Tensor, Tensor] | None:
    """The normal about the point one step ahead, with its ELBO and error; None where it is not finite."""
    covariance = state.covariance()
    factor, failed = torch.linalg.cholesky_ex(covariance)
    if failed:
        return None
    loc = state.z + covariance @ state.slope
    q = FullNormal(loc[None], factor.diagonal().log()[None], torch.tril(factor, -1)[None])
    z, log_q = distributions.draw(q, key, draws)
    gap = (density(log_p, z) - log_q)[:, 0]
    return (q, gap.mean(), gap.std() / draws**0.5) if gap.isfinite().all() else None


def _diagonal(diagonal: Float[Tensor, " d"], s: Float[Tensor, " d"], y: Float[Tensor, " d"]) -> Float[Tensor, " d"]:
    """The diagonal of the inverse, after a step s with a fall y of the gradient."""
    a, b, c = y @ (diagonal * y), y @ s, (s.square() / diagonal).sum()
    return 1 / (a / (b * diagonal) + y.square() / b - a * s.square() / (b * c * diagonal.square()))


@torch.enable_grad()
def _at(log_p: LogDensity, z: Float[Tensor, " d"]) -> tuple[Float[Tensor, ""], Float[Tensor, " d"]]:
    z = z.detach().requires_grad_()
    value = density(log_p, z[None, None])[0, 0]
    (slope,) = torch.autograd.grad(value, z)
    return value.detach(), slope

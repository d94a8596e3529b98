"""Modes of a log density, one per datum, by a trust region and conjugate gradients: no Hessian is stored.

Approximates  a local maximum of log p(x, z) in z, for each datum by itself
With          steps that maximise a quadratic model within a radius of the datum's own, `trust_region.best_move`; a
              step that gains less than the model predicts, or leaves the support, shrinks the radius
Requires      two derivatives of log_p; z in unconstrained coordinates, or their bijection
Unbiased when none; of several modes it finds one near the start
Cost          an evaluation with gradients a step, two where a datum does not take it, and a Hessian-vector product for
              each of its inner iterations: some 20 steps and 400 products for a logistic regression of d = 50, 180 and
              5,400 for a network of d = 2,000
Reference     Steihaug, 1983; Conn, Gould and Toint, 2000
"""

from collections.abc import Callable
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from jensen.core.checks import check_count, check_number
from jensen.core.contracts import Bijection, LogDensity
from jensen.estimators.evidence.local import Local, check_some, in_real_coordinates
from jensen.estimators.evidence.progress import Progress
from jensen.estimators.evidence.trust_region import Move, best_move
from jensen.estimators.wording import of_data

ENOUGH = 0.2  # of the gain, to end a step's inner iterations
LEAST = 1e-4  # of the predicted gain, below which a step is not taken
OUTSIDE = "log_p or a derivative is not finite there: start inside the support"
CONVEX = "minus the Hessian of log_p is not positive definite there: climb with find_mode, or from a start elsewhere"
CLIMBING = (
    "a step would gain {gain:.2g} nats: climb with find_mode for more steps; where the support ends there, give the "
    "bijection onto it"
)


class Mode(NamedTuple):
    """The points z (n, *event) that were reached, log_p there in nats, and what is missing to a mode: (n,) each.

    climb is the gain in nats that a Newton step from z predicts: 0 at a mode, inf where log_p is not concave along
    that step, NaN where log_p was not finite at the start, which is then z. With a bijection, log_p is the density of
    its unconstrained coordinates, and so are the mode and the climb.
    """

    z: Float[Tensor, "n *event"]
    log_p: Float[Tensor, " n"]
    climb: Float[Tensor, " n"]

    def verdict(self, tolerance: float = 1e-3) -> str:
        """Whether each datum is at a mode, where a step would gain at most `tolerance` nats, and what to do if not."""
        reasons = missing(self.climb, tolerance)
        return "; ".join(reasons) if reasons else f"at a mode, to {tolerance:.2g} nats of log_p"


def missing(climb: Float[Tensor, " n"], tolerance: float) -> list[str]:
    """Why the data whose climb is above the tolerance are not at a mode, in words."""
    far = climb.isfinite() & (climb > tolerance)
    gain = climb[far].max().item() if far.any() else 0.0
    reasons = {OUTSIDE: climb.isnan(), CONVEX: climb == torch.inf, CLIMBING.format(gain=gain): far}
    return [f"not at a mode{of_data(holds)}, {reason}" for reason, holds in reasons.items() if holds.any()]


@torch.no_grad()
def find_mode(
    log_p: LogDensity,
    z: Float[Tensor, "n *event"],
    bijection: Bijection | None = None,
    steps: int = 1000,
    tolerance: float = 1e-10,
    progress: Callable[[str], object] | None = None,
) -> Mode:
    """A local mode of log_p from a start z (n, d), for each datum by itself: see `Mode.verdict`.

    log_p: z (s, n, *event) -> (s, n). With a bijection, such as `prior.bijection()`, z is in its set, and the mode is
    that of the density of the unconstrained coordinates u, log_p(z) + log |det dz/du| with z = bijection.forward(u): it
    is inside the set where that of z may be at its edge. Ends when each datum's predicted gain is at most `tolerance`
    nats or what rounding leaves of it, or after `steps`. A start at a saddle or a minimum is left, by a small part of
    each step in a fixed direction. Lines of progress go to `progress`, such as print, or to a terminal after three
    seconds.

    ValueError where log_p is -inf or NaN at the start of every datum. Numbers of steps depend on values, so that
    torch.compile and vmap cannot trace it.
    """
    steps, tolerance = check_count("steps", steps), check_number("tolerance", tolerance, "[0, inf)")
    log_p, start, bijection = in_real_coordinates(log_p, "z", z, bijection)
    here = Local.of(log_p, start)
    valid = here.finite()
    check_some(valid, lambda: _nowhere(here.value))
    radius = 1 + torch.linalg.vector_norm(start, dim=-1)
    done, gain, enough = ~valid, torch.full_like(radius, torch.inf), torch.full_like(radius, ENOUGH)
    with Progress(progress) as show:
        for i in range(steps):
            move = best_move(here.slope, here.times, torch.where(done, 0.0, radius), enough, tolerance)
            done, enough = done | _settled(move, here, radius, gain, tolerance), _less(enough, move, gain)
            gain = move.gain
            if done.all():
                break
            show(lambda: _line(i, steps, done, gain))  # noqa: B023, called at once
            there = Local.of(log_p, here.point + move.step)
            share = _share(here, there, move)
            taken = (share > LEAST) & ~done
            radius = _next_radius(radius, share, move)
            here = there if taken.all() else Local.of(log_p, torch.where(taken[:, None], there.point, here.point))
    reached = torch.where(valid.reshape(-1, *[1] * (z.ndim - 1)), bijection.forward(here.point)[0], z)
    return Mode(reached, here.value, _climb(here))


def _nowhere(value: Tensor) -> str:
    return (
        f"expected a start z where log_p and its slope are finite, got log_p = {value[0].item():.4g}: start inside the "
        "support of log_p, and inside the bijection's set if you give one"
    )


def _settled(move: Move, here: Local, radius: Tensor, last: Tensor, tolerance: float) -> Tensor:
    """Whether there is nothing to gain, nothing that rounding would show, or no room: (n,)."""
    eps = torch.finfo(radius.dtype).eps
    rounding = (move.gain <= eps * here.value.abs()) & (move.gain > last / 2)
    room = radius > eps * (eps + torch.linalg.vector_norm(here.point, dim=-1))
    return (~move.bounded & ((move.gain <= tolerance) | rounding)) | ~room


def _less(enough: Tensor, move: Move, last: Tensor) -> Tensor:
    """A tenth, where a step within the radius gains as much as the last: steps that end too early zigzag."""
    return torch.where(~move.bounded & (move.gain > last / 2), enough / 10, (10 * enough).clamp_max(ENOUGH))


def _share(here: Local, there: Local, move: Move) -> Tensor:
    """The gain as a share of the predicted one, both with what rounding may add; -1 outside the support."""
    slack = 10 * torch.finfo(move.gain.dtype).eps * here.value.abs().clamp_min(1)
    share = (there.value - here.value + slack) / (move.gain + slack)
    return torch.where(there.finite(), share, -1.0)


def _next_radius(radius: Tensor, share: Tensor, move: Move) -> Tensor:
    length = torch.linalg.vector_norm(move.step, dim=-1)
    wider = torch.where((share > 0.75) & move.bounded, 2 * radius, radius)
    return torch.where(share < 0.25, length / 4, wider)


def _climb(here: Local) -> Tensor:
    """The gain of a step without a radius: inf where log_p is convex along it, NaN where it is not finite."""
    far, finite = torch.finfo(here.value.dtype).max ** 0.25, here.finite()
    radius = torch.where(finite, torch.full_like(here.value, far), 0.0)
    move = best_move(here.slope, here.times, radius, torch.zeros_like(radius), 0.0)
    return torch.where(finite, torch.where(move.convex, torch.inf, move.gain), torch.nan)


def _line(step: int, steps: int, done: Tensor, gain: Tensor) -> str:
    climbing = int((~done).sum())
    return (
        f"find_mode: step {step} of {steps} at most, {climbing} of {len(done)} data still climb, "
        f"{gain[~done].max().item():.2g} nats expected of the next step"
    )

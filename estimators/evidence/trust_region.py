"""The largest gain of a quadratic model within a radius, by conjugate gradients (Steihaug, 1983).

m(s) = slope s - s B s / 2 with |s| <= radius, B = -Hessian, for every datum by itself. A direction p along which the
log density is convex, p B p <= 0, is followed to the radius. Iterations end by Nash and Sofer's test, where the i-th
added i (m_i - m_{i-1}) < enough m_i, or where the residual is rounding. A gain within the tolerance waits for the
latter: only then does it tell that there is none.

Cost          a Hessian-vector product per iteration, at most 2 m + 10 of them and 500
Reference     Steihaug, 1983; Nash and Sofer, 1990; Conn, Gould and Toint, 2000
"""

from collections.abc import Callable
from typing import NamedTuple

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from jensen.core import keys


class Move(NamedTuple):
    """A step (n, m), the gain it predicts in nats, and how it ended, (n,) each.

    bounded: at the radius. convex: along a direction of p B p <= 0.
    """

    step: Float[Tensor, "n m"]
    gain: Float[Tensor, " n"]
    bounded: Bool[Tensor, " n"]
    convex: Bool[Tensor, " n"]


def best_move(
    slope: Float[Tensor, "n m"],
    times: Callable[[Tensor], Tensor],
    radius: Float[Tensor, " n"],
    enough: Float[Tensor, " n"],
    tolerance: float,
) -> Move:
    """The approximate maximiser of the model; of radius 0, no step.

    times: a vector (n, m) multiplied by each datum's Hessian. enough: the share of Nash and Sofer's test, 0 for none.
    """
    eps = torch.finfo(slope.dtype).eps
    direction = residual = slope = _nudged(slope)
    square = start = _dot(residual, residual)
    step = curved = torch.zeros_like(slope)
    gain, active = torch.zeros_like(radius), (radius > 0) & square.isfinite()
    bounded = convex = torch.zeros_like(active)
    for i in range(1, min(2 * slope.shape[-1] + 10, 500) + 1):
        change = -times(direction)
        curvature = _dot(direction, change)
        rises = ~(curvature > 0)
        length = square / curvature
        ends = rises | ~(torch.linalg.vector_norm(step + length[:, None] * direction, dim=-1) < radius)
        length = torch.where(ends, _to_radius(step, direction, radius), length)
        length = torch.where(active, length, 0.0)[:, None]
        step = step + length * direction
        curved = curved + length * change.nan_to_num(0.0, 0.0, 0.0)
        before, gain = gain, _dot(slope, step) - 0.5 * _dot(step, curved)
        bounded, convex = bounded | (active & ends), convex | (active & rises)
        residual = residual - length * change
        new = _dot(residual, residual)
        slow = (gain > tolerance) & (i * (gain - before) < enough * gain)
        active = active & ~ends & ~slow & (new > start * eps**1.5)
        if not active.any():
            break
        direction = torch.where(active[:, None], residual + (new / square)[:, None] * direction, direction)
        square = torch.where(active, new, square)
    return Move(step, gain, bounded, convex)


def _nudged(slope: Tensor) -> Tensor:
    """The slope with a small part in a fixed direction: at a saddle or a minimum it has none of its own."""
    nudge = keys.normal(keys.key(0, slope.device), (1, *slope.shape[1:]), slope.dtype)
    nudge = nudge / torch.linalg.vector_norm(nudge)
    number = torch.finfo(slope.dtype)
    return slope + (number.eps**0.5 * torch.linalg.vector_norm(slope, dim=-1, keepdim=True) + number.tiny**0.25) * nudge


def _to_radius(step: Tensor, direction: Tensor, radius: Tensor) -> Tensor:
    """The positive t with |step + t direction| = radius."""
    along, square = _dot(step, direction), _dot(direction, direction)
    left = (radius.square() - _dot(step, step)).clamp_min(0)
    return left / (along + torch.sqrt(along.square() + square * left))


def _dot(a: Tensor, b: Tensor) -> Tensor:
    return (a * b).sum(-1)

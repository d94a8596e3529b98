"""Ordinary differential equations dy / dt = speed(y, t) by equal steps: Runge and Kutta's fourth order.

Of a tree of tensors, by operations on whole tensors: a datum alone is solved as it is in a batch, and every transform
and compiler takes the steps, which an adaptive solver's are not known well enough beforehand for.
"""

from collections.abc import Callable
from typing import TypeVar

import torch
from jaxtyping import Float
from torch import Tensor

from jensen.core import trees

Y = TypeVar("Y")  # a tree of tensors


def rk4_step(speed: Callable[[Y, float], Y], y: Y, t: float, step: float) -> Y:
    """y(t + step) of y(t), with an error of O(step^5)."""
    k1 = speed(y, t)
    k2 = speed(_moved(y, step / 2, k1), t + step / 2)
    k3 = speed(_moved(y, step / 2, k2), t + step / 2)
    k4 = speed(_moved(y, step, k3), t + step)
    return trees.map(lambda y, a, b, c, d: y + step / 6 * (a + 2 * b + 2 * c + d), y, k1, k2, k3, k4)


def between_steps(
    times: Float[Tensor, "*times"], step: float, steps: int
) -> tuple[Float[Tensor, "*times k"], Float[Tensor, "*times k"]]:
    """Weights (..., steps + 1) of y and of dy / dt at 0, step, ..., whose sum is y at times from 0 to step steps.

    The cubic Hermite interpolant: of one polynomial with the states and slopes at both ends of a step, O(step^4) off.
    """
    u = times[..., None] / step - torch.arange(steps + 1, dtype=times.dtype, device=times.device)
    near = (1 - u.abs()).clamp_min(0).square()
    return (1 + 2 * u.abs()) * near, step * u * near


def _moved(y: Y, step: float, slope: Y) -> Y:
    return trees.map(lambda y, slope: y + step * slope, y, slope)

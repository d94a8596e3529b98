"""Roots of monotone functions."""

from collections.abc import Callable

import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torch.func import grad


def bisect(
    below: Callable[[Tensor], Bool[Tensor, "..."]], low: Float[Tensor, "..."], high: Float[Tensor, "..."], steps: int
) -> tuple[Float[Tensor, "..."], Float[Tensor, "..."]]:
    """The ends (low, high) of the interval around each root after `steps` halvings; below(t): t is below the root."""
    for _ in range(steps):
        middle = (low + high) / 2
        rises = below(middle)
        low, high = torch.where(rises, middle, low), torch.where(rises, high, middle)
    return low, high


def newton(
    f: Callable[[Tensor], Float[Tensor, "..."]], low: Float[Tensor, "..."], high: Float[Tensor, "..."], steps: int
) -> Float[Tensor, "..."]:
    """The root in [low, high] of f, which is below 0 before it and above 0 after it; each component by itself.

    By Newton's steps, and by halving where one of them leaves the interval that is left. Differentiable twice in what f
    is built from: see `polished`.
    """
    rounding = 4 * torch.finfo(low.dtype).eps
    low, high = low.detach(), high.detach()
    t = (low + high) / 2
    for _ in range(steps):
        value, slope = f(t).detach(), _slope(f, t).detach()
        low, high = torch.where(value < 0, t, low), torch.where(value < 0, high, t)
        there, slack = t - value / slope, rounding * (1 + t.abs())
        t = torch.where((there >= low - slack) & (there <= high + slack), there, (low + high) / 2)
    return polished(f, t)


def polished(f: Callable[[Tensor], Float[Tensor, "..."]], t: Float[Tensor, "..."]) -> Float[Tensor, "..."]:
    """Two of Newton's steps from a root t of f, which give it its first and second derivative in what f is built from.

    By the implicit function theorem: Newton's map has slope 0 in t at the root.
    """
    t = t.detach()
    for _ in range(2):
        t = t - f(t) / _slope(f, t)
    return t


def _slope(f: Callable[[Tensor], Tensor], t: Tensor) -> Tensor:
    return grad(lambda t: f(t).sum())(t)

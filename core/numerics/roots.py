"""Roots of monotone functions."""

from collections.abc import Callable

import torch
from jaxtyping import Bool, Float
from torch import Tensor


def bisect(
    below: Callable[[Tensor], Bool[Tensor, "..."]], low: Float[Tensor, "..."], high: Float[Tensor, "..."], steps: int
) -> tuple[Float[Tensor, "..."], Float[Tensor, "..."]]:
    """The ends (low, high) of the interval around each root after `steps` halvings; below(t): t is below the root."""
    for _ in range(steps):
        middle = (low + high) / 2
        rises = below(middle)
        low, high = torch.where(rises, middle, low), torch.where(rises, high, middle)
    return low, high

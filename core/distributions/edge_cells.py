"""Draws nearer to the edge of the support than the type can tell, or beyond its range, come as its nearest number.

There log_prob is the log of all that cell's mass, over the number's distance to the edge: the mean density of the cell.
It is what weights in a bound and score-function gradients are unbiased with; the density at the number is not.
"""

import torch
from jaxtyping import Bool, Float
from torch import Tensor


def smallest(z: Float[Tensor, "..."]) -> Bool[Tensor, "..."]:
    """Whether z > 0 is the type's least normal number, or below it."""
    return (z > 0) & (z <= torch.finfo(z.dtype).tiny)


def largest(z: Float[Tensor, "..."]) -> Bool[Tensor, "..."]:
    """Whether |z| is the type's largest number."""
    return z.abs() == torch.finfo(z.dtype).max


def last_below_one(z: Float[Tensor, "..."]) -> Bool[Tensor, "..."]:
    """Whether z is 1 - e / 2, e the type's epsilon, to which all in (1 - 3 e / 4, 1) is rounded."""
    return z == 1 - torch.finfo(z.dtype).eps / 2


def cell_excess(
    at: Bool[Tensor, "..."], exponent: Float[Tensor, "*n d"], stretch: float = 1.0
) -> Float[Tensor, "... d"]:
    """log of the cell's mean density over the density at its number, where `at`, else 0.

    Of a mass that goes with the distance x to the edge as x^exponent, where the cell reaches to `stretch` times the
    number's distance: stretch^(exponent - 1) / exponent. Beyond a number x of a heavy tail x^-exponent the same.
    """
    some = torch.where(at, exponent, 1.0)
    excess = -torch.log(some)
    if stretch != 1:
        excess = excess + (some - 1) * torch.log(some.new_tensor(stretch))
    return torch.where(at, excess, 0.0)

"""Numbers that share a standard normal's quantile: what its weak derivatives are coupled by (Rosca et al., 2019)."""

import math

import torch
from jaxtyping import Float
from torch import Tensor

from jensen.core.numerics import bisect


def maxwell(eps: Float[Tensor, "..."]) -> Float[Tensor, "..."]:
    """The double-sided Maxwell number, density x^2 exp(-x^2 / 2) / sqrt(2 pi), at a normal number's quantile.

    The root of erf(x / sqrt 2) - sqrt(2 / pi) x exp(-x^2 / 2) = erf(|eps| / sqrt 2), by halving an interval.
    """
    rest = torch.special.erfc(eps.abs() / math.sqrt(2))

    def below(x: Tensor) -> Tensor:
        tail = torch.special.erfc(x / math.sqrt(2)) + math.sqrt(2 / math.pi) * x * torch.exp(-x.square() / 2)
        return tail >= rest

    size, _ = bisect(below, eps.abs(), eps.abs() + 2, 60 if eps.dtype == torch.float64 else 30)
    return torch.where(eps < 0, -size, size)


def rayleigh(eps: Float[Tensor, "..."]) -> Float[Tensor, "..."]:
    """The Rayleigh number at a normal number's quantile: sqrt(-2 log(1 - Phi(eps)))."""
    tail = 0.5 * torch.special.erfc(eps.abs() / math.sqrt(2))
    return torch.sqrt(-2 * torch.where(eps < 0, torch.log1p(-tail), torch.log(tail)))

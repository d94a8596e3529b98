"""The bijection onto positive definite matrices, by their Cholesky factors, which are found in float64."""

import math
from typing import NamedTuple

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from jensen.core.checks import check_floating
from jensen.core.numerics import at_least_float32, double, narrow

SYMMETRY = 10  # times the type's epsilon: how far opposite entries may differ, relatively to the diagonal


class PositiveDefinite(NamedTuple):
    """value = L L^T (d, d), L lower triangular of z's d (d + 1) / 2 numbers, row by row, its diagonal their e^z.

    Onto        symmetric positive definite matrices
    Log det     of the entries on and below the diagonal: d log 2 + sum_i (d + 1 - i) z_ii, i = 0, ..., d - 1
    """

    def forward(
        self, z: Float[Tensor, "... m"], context: Tensor | None = None, /
    ) -> tuple[Float[Tensor, "... d d"], Float[Tensor, "..."]]:
        check_floating("z", z)
        x = at_least_float32(z)
        d = _rows(x.shape[-1])
        lower = torch.tril(torch.ones(d, d, dtype=torch.bool, device=z.device))
        place = lower.flatten().cumsum(0) - 1
        entries = torch.where(lower, x[..., place].unflatten(-1, (d, d)), 0.0)
        diagonal = entries.diagonal(dim1=-2, dim2=-1)
        factor = torch.tril(entries, -1) + torch.diag_embed(torch.exp(diagonal))
        weights = torch.arange(d + 1, 1, -1, dtype=x.dtype, device=z.device)
        return (factor @ factor.mT).to(z.dtype), d * math.log(2) + (weights * diagonal).sum(-1)

    def inverse(
        self, value: Float[Tensor, "... d d"], context: Tensor | None = None, /
    ) -> tuple[Float[Tensor, "... m"], Float[Tensor, "..."]]:
        check_floating("value", value, "... d d", "a square matrix")
        factor, failed = torch.linalg.cholesky_ex(double(value))
        factor = torch.where((failed == 0)[..., None, None], factor, torch.nan)
        diagonal = torch.log(factor.diagonal(dim1=-2, dim2=-1))
        entries = torch.tril(factor, -1) + torch.diag_embed(diagonal)
        rows, columns = torch.tril_indices(*value.shape[-2:], device=value.device)
        d = value.shape[-1]
        weights = torch.arange(d + 1, 1, -1, dtype=diagonal.dtype, device=value.device)
        log_det = d * math.log(2) + (weights * diagonal).sum(-1)
        return entries[..., rows, columns].to(value.dtype), -narrow(log_det, value)

    def contains(self, value: Float[Tensor, "... d d"], /) -> Bool[Tensor, "..."]:
        check_floating("value", value, "... d d", "a square matrix")
        wide = double(value)
        diagonal = wide.diagonal(dim1=-2, dim2=-1).abs().amax(-1)
        slack = SYMMETRY * torch.finfo(value.dtype).eps * diagonal
        alike = ((wide - wide.mT).abs().amax((-2, -1)) <= slack) & diagonal.isfinite()
        safe = torch.where(
            alike[..., None, None], wide, torch.eye(wide.shape[-1], dtype=wide.dtype, device=wide.device)
        )
        return alike & (torch.linalg.cholesky_ex(safe).info == 0)


def _rows(m: int) -> int:
    """d of m = d (d + 1) / 2."""
    d = (math.isqrt(1 + 8 * m) - 1) // 2
    if m < 1 or d * (d + 1) // 2 != m:
        raise ValueError(f"expected z (..., d (d + 1) / 2), such as 1, 3, 6 or 10 numbers, got {m}")
    return d

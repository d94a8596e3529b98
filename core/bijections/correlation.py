"""The bijection onto the Cholesky factors of correlation matrices (Lewandowski et al., 2009)."""

import math
from typing import NamedTuple

import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torch.nn import functional as F

from jensen.core.checks import check_floating
from jensen.core.numerics import at_least_float32

ROW = 1e-5  # how far from 1 the squared length of a row may be, or ten times the type's epsilon


class CorrelationCholesky(NamedTuple):
    """L (d, d), lower triangular with rows of length 1 and a positive diagonal: d (d - 1) / 2 numbers to L.

    L_ij = t_ij prod_{k < j} sqrt(1 - t_ik^2) for i > j with the partial correlations t = tanh(z), z row by row.
    L L' is the correlation matrix.

    Onto        such factors
    Log det     of L's entries below the diagonal
    """

    def forward(
        self, z: Float[Tensor, "... m"], context: Tensor | None = None, /
    ) -> tuple[Float[Tensor, "... d d"], Float[Tensor, "..."]]:
        check_floating("z", z)
        x = at_least_float32(z)
        d = _rows(x.shape[-1])
        below = torch.tril(torch.ones(d, d, dtype=torch.bool, device=z.device), -1)
        log_left = 2 * math.log(2) + F.logsigmoid(2 * x) + F.logsigmoid(-2 * x)  # log(1 - tanh^2), to rounding
        before = F.pad(_square(log_left, below).cumsum(-1), (1, 0))[..., :-1]
        scale = torch.exp(0.5 * before)
        diagonal = scale.diagonal(dim1=-2, dim2=-1).clamp_min(torch.finfo(z.dtype).tiny)
        factor = _square(torch.tanh(x), below) * scale + torch.diag_embed(diagonal)
        log_det = torch.where(below, 0.5 * before, 0.0).sum((-2, -1)) + log_left.sum(-1)
        return factor.to(z.dtype), log_det

    def inverse(
        self, value: Float[Tensor, "... d d"], context: Tensor | None = None, /
    ) -> tuple[Float[Tensor, "... m"], Float[Tensor, "..."]]:
        check_floating("value", value)
        rows, columns = _below(value.shape[-1], value.device)
        left = value.square().flip(-1).cumsum(-1).flip(-1)[..., 1:]  # of the row, right of each entry
        z = torch.asinh(value[..., rows, columns] / left[..., rows, columns].sqrt())
        return z, -self.forward(z)[1]

    def contains(self, value: Float[Tensor, "... d d"], /) -> Bool[Tensor, "..."]:
        check_floating("value", value)
        slack = max(ROW, 10 * torch.finfo(value.dtype).eps)
        length = ((value.square().sum(-1) - 1).abs() <= slack).all(-1)
        return length & (value.diagonal(dim1=-2, dim2=-1) > 0).all(-1) & (value.triu(1) == 0).all(-1).all(-1)


def _below(d: int, device: torch.device) -> tuple[Tensor, Tensor]:
    """Rows and columns of the entries below the diagonal, row by row."""
    rows, columns = torch.tril_indices(d, d, -1, device=device)
    return rows, columns


def _square(entries: Tensor, below: Tensor) -> Tensor:
    """(..., m) entries at the places below the diagonal, row by row, and 0 elsewhere: (..., d, d)."""
    place = (below.flatten().cumsum(0) - 1).clamp_min(0)
    return torch.where(below, entries[..., place].unflatten(-1, below.shape), 0.0)


def _rows(m: int) -> int:
    """d of m = d (d - 1) / 2."""
    d = (1 + math.isqrt(1 + 8 * m)) // 2
    if m < 1 or d * (d - 1) // 2 != m:
        raise ValueError(f"expected z (..., d (d - 1) / 2), such as 1, 3, 6 or 10 numbers, got {m}")
    return d

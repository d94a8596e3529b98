"""Quadratic functions of many vectors as one matrix product, and weighted moments of the vectors as another.

    phi = features(x)                                                # (n, f): 1, x, x_i x_j for i <= j
    coefficients(constant, linear, matrix) @ phi.mT                  # (k, n): constant + linear . x + x^T matrix x
    counts, first, second = moments(weights @ phi, d)                # sums of 1, x, x x^T by each row of weights (k, n)

With `cross` False there are squares alone, f = 1 + 2 d, and matrices are their diagonals (k, d). Centre x first: the
digits that a square of a large mean takes are lost to the covariance.
"""

import torch
from jaxtyping import Float
from torch import Tensor


def features(x: Float[Tensor, "n d"], cross: bool = True) -> Float[Tensor, "n f"]:
    """1, x and the products x_i x_j, i <= j, or the squares alone: f = 1 + d + d (d + 1) / 2, or 1 + 2 d."""
    ones = torch.ones_like(x[:, :1])
    if not cross:
        return torch.cat([ones, x, x.square()], 1)
    i, j = _pairs(x.shape[1], x.device)
    return torch.cat([ones, x, x[:, i] * x[:, j]], 1)


def coefficients(
    constant: Float[Tensor, " k"], linear: Float[Tensor, "k d"], matrix: Float[Tensor, "k d *e"]
) -> Float[Tensor, "k f"]:
    """Of constant + linear . x + x^T matrix x in the features; the matrix is symmetric, or the diagonal of one."""
    if matrix.ndim == 2:
        return torch.cat([constant[:, None], linear, matrix], 1)
    i, j = _pairs(linear.shape[1], linear.device)
    twice = torch.where(i == j, 1.0, 2.0).to(matrix)
    return torch.cat([constant[:, None], linear, twice * matrix[:, i, j]], 1)


def moments(
    sums: Float[Tensor, "k f"], d: int, cross: bool = True
) -> tuple[Float[Tensor, " k"], Float[Tensor, "k d"], Float[Tensor, "k d *e"]]:
    """The sums of 1, x and x x^T from those of the features; of squares alone the diagonal (k, d)."""
    counts, first, second = sums[:, 0], sums[:, 1 : 1 + d], sums[:, 1 + d :]
    if not cross:
        return counts, first, second
    i, j = _pairs(d, sums.device)
    place = torch.zeros(d, d, dtype=torch.int64, device=sums.device)
    place[i, j] = place[j, i] = torch.arange(len(i), device=sums.device)
    return counts, first, second[:, place]


def _pairs(d: int, device: torch.device) -> tuple[Tensor, Tensor]:
    i, j = torch.triu_indices(d, d, device=device)
    return i, j

"""Cholesky factors of matrices that are to be positive definite, and what to add to those that are not."""

import torch
from jaxtyping import Float
from torch import Tensor

from jensen.core.concrete import is_concrete


def cholesky_factor(name: str, matrix: Float[Tensor, "... d d"]) -> Float[Tensor, "... d d"]:
    """L with L L^T = matrix, read on and below the diagonal.

    ValueError, where values can be read, for a matrix that is not positive definite or is singular to rounding, with
    the jitter to add. `name` is the argument's.
    """
    factor, failed = torch.linalg.cholesky_ex(matrix)
    check_factor(name, matrix, factor, failed != 0)
    return factor


def check_factor(name: str, matrix: Tensor, factor: Tensor, failed: Tensor | None = None) -> None:
    """ValueError for pivots of the factor that are rounding alone, or that failed, where values can be read."""
    if not is_concrete(factor):
        return
    rounding = matrix.shape[-1] * torch.finfo(matrix.dtype).eps * matrix.diagonal(dim1=-2, dim2=-1)
    singular = (factor.diagonal(dim1=-2, dim2=-1).square() <= rounding).any(-1)  # of each row, whatever its unit
    singular = singular if failed is None else singular | failed
    if not singular.any():
        return
    if not matrix.isfinite().all():
        raise ValueError(f"expected {name} positive definite, got NaN or inf in it: look where from")
    values = torch.linalg.eigvalsh(matrix[singular][0].detach())
    least, most = values[0].item(), values[-1].item()
    jitter = max(0.0, -2 * least) + 10 * rounding[singular][0].abs().amax().item()
    raise ValueError(
        f"expected {name} positive definite for each datum, got eigenvalues from {least:.2g} to {most:.2g}: "
        f"add a jitter of {jitter:.1g} to its diagonal"
    )

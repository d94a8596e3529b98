"""The likeliest covariances of normals, by kind: full, tied (one for all), diagonal, spherical.

All are k matrices (k, d, d), or their diagonals (k, d) where nothing is off them. No variance in any direction is below
a floor: of the matrices above it the likeliest is that whose lower eigenvalues are raised to it, so that a floor costs
EM no monotony.
"""

from typing import Literal, TypeAlias

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from jensen.core.distributions.definite import cholesky_factor

Kind: TypeAlias = Literal["full", "tied", "diagonal", "spherical"]
KINDS = ("full", "tied", "diagonal", "spherical")


def crossed(kind: Kind) -> bool:
    """Whether products of different components count."""
    return kind in ("full", "tied")


def likeliest(
    kind: Kind, counts: Float[Tensor, " k"], squares: Float[Tensor, "k d *e"], floor: float
) -> tuple[Float[Tensor, "k d *e"], Bool[Tensor, " k"]]:
    """The covariances of normals with these counts of data and sums of squares about their means; which are floored."""
    counts = counts.clamp_min(torch.finfo(counts.dtype).tiny).reshape(-1, *[1] * (squares.ndim - 1))
    if kind == "tied":
        each = (squares.sum(0) / counts.sum()).expand_as(squares)
    elif kind == "spherical":
        each = (squares / counts).mean(-1, keepdim=True).expand_as(squares)
    else:
        each = squares / counts
    return _raised(each, floor)


def precisions(covariance: Float[Tensor, "k d *e"]) -> tuple[Float[Tensor, "k d *e"], Float[Tensor, " k"]]:
    """The inverses, and the log determinants of the covariances."""
    if covariance.ndim == 2:
        return 1 / covariance, torch.log(covariance).sum(-1)
    factor = cholesky_factor("covariance", covariance)
    return torch.cholesky_inverse(factor), 2 * torch.log(factor.diagonal(dim1=-2, dim2=-1)).sum(-1)


def matrices(covariance: Float[Tensor, "k d *e"]) -> Float[Tensor, "k d d"]:
    """Those of which only the diagonals are stored too."""
    return covariance if covariance.ndim == 3 else torch.diag_embed(covariance)


def _raised(covariance: Tensor, floor: float) -> tuple[Tensor, Tensor]:
    if covariance.ndim == 2:
        return covariance.clamp_min(floor), (covariance < floor).any(-1)
    values, vectors = torch.linalg.eigh(covariance)
    low = (values < floor).any(-1)
    raised = (vectors * values.clamp_min(floor)[:, None]) @ vectors.mT
    return torch.where(low[:, None, None], raised, covariance), low

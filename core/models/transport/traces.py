"""The trace of the Jacobian of a field x (n, d) -> (n, d) of rows, by products with it.

    exact(f, x) = tr d f / d x                              d products
    probed(f, x, probes) = mean_k e_k' (d f / d x) e_k      a product for each probe, unbiased where E e e' = I

(Hutchinson, 1990).
"""

from collections.abc import Callable
from typing import TypeAlias

import torch
from jaxtyping import Float
from torch import Tensor

VectorField: TypeAlias = Callable[[Float[Tensor, "n d"]], Float[Tensor, "n d"]]  # no row of the value sees another's x


def exact(field: VectorField, x: Float[Tensor, "n d"]) -> Float[Tensor, " n"]:
    """tr d field / d x of each row."""
    axes = torch.eye(x.shape[-1], dtype=x.dtype, device=x.device)
    return _products(field, x, axes[:, None].expand(-1, *x.shape)).sum(0)


def probed(field: VectorField, x: Float[Tensor, "n d"], probes: Float[Tensor, "k n d"]) -> Float[Tensor, " n"]:
    """Its estimate by probes of mean 0 and covariance I, such as independent signs."""
    return _products(field, x, probes).mean(0)


def _products(field: VectorField, x: Tensor, directions: Tensor) -> Tensor:
    """e' (d field / d x) e for each of the directions e (k, n, d): (k, n)."""

    def along(direction: Tensor) -> Tensor:
        return (torch.func.jvp(field, (x,), (direction.contiguous(),))[1] * direction).sum(-1)

    return torch.func.vmap(along)(directions)

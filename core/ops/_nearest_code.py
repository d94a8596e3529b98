"""The nearest row of a codebook. Fused: the (N, C) distance matrix is never stored."""

from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor

from jensen.core.checks import check_floating
from jensen.core.numerics import at_least_float32
from jensen.core.operation import library_op, over_batch
from jensen.core.ops.dispatch import launch, uses_kernel

CHUNK = 2**20  # distances at once


def nearest_code(
    z: Float[Tensor, "N d"], codebook: Float[Tensor, "C d"]
) -> tuple[Int[Tensor, " N"], Float[Tensor, " N"]]:
    """(indices, distances): the codebook row nearest each z, and its squared Euclidean distance, (N,) each.

    indices have no gradient; distances are differentiable in z and in the chosen codes. Of equally near codes the
    first is taken.
    """
    check_floating("z", z, "N d", "one row per vector")
    check_floating("codebook", codebook, "C d", "one row per code")
    if z.shape[1] != codebook.shape[1] or not len(codebook):
        raise ValueError(
            f"expected z (N, d) and codebook (C, d), got {tuple(z.shape)} and {tuple(codebook.shape)}: "
            "give codes of z's width, and one at least"
        )
    indices = _indices(z.detach(), codebook.detach())
    return indices, (at_least_float32(z) - at_least_float32(codebook)[indices]).square().sum(-1)


def reference(z: Tensor, codebook: Tensor) -> Tensor:
    """argmin_c |c|^2 / 2 - z . c, with the (N, C) matrix stored."""
    z, codebook = at_least_float32(z), at_least_float32(codebook)
    return (0.5 * codebook.square().sum(-1) - z @ codebook.T).argmin(-1)


def _forward(z: Tensor, codebook: Tensor) -> Tensor:
    if z.ndim > 2 or codebook.ndim > 2:
        return over_batch(_forward, (2, 2), z, codebook)
    if uses_kernel(z):
        return launch("nearest_code")(z, codebook)
    parts = [reference(part, codebook) for part in z.split(max(1, CHUNK // len(codebook)))]
    return torch.cat(parts)


def _fake(z: Tensor, codebook: Tensor) -> Tensor:
    batch = torch.broadcast_shapes(z.shape[:-2], codebook.shape[:-2])
    return z.new_empty(*batch, z.shape[-2], dtype=torch.int64)


def _vmap(info: Any, in_dims: tuple[int | None, ...], *args: Tensor) -> tuple[Tensor, int]:
    pairs = zip(args, in_dims, strict=True)
    return _indices(*(t.unsqueeze(0) if dim is None else t.movedim(dim, 0) for t, dim in pairs)), 0


_indices = library_op("nearest_code", _forward, _fake, "(Tensor z, Tensor codebook) -> Tensor", _vmap)

"""Gradients through a rounding: vectors z are replaced by those of their codes, and the gradient passes to z."""

from typing import Literal, TypeAlias

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

from jensen.core.checks import check_choice, check_floating

Path: TypeAlias = Literal["straight through", "rotation"]


def straight_through(z: Float[Tensor, "*n d"], vectors: Float[Tensor, "*n d"]) -> Float[Tensor, "*n d"]:
    """The vectors, with the gradient of z (Bengio et al., 2013); that of the vectors is 0."""
    _check(z, vectors)
    return vectors.detach() + (z - z.detach())  # exactly the vectors, as z + (vectors - z) is not


def rotation(z: Float[Tensor, "*n d"], vectors: Float[Tensor, "*n d"]) -> Float[Tensor, "*n d"]:
    """The vectors, as |vector| / |z| R z with the rotation R from z to its vector, both constant (Fifty et al., 2025).

    With the unit vectors a of z, b of its vector and m of a + b, R z = z - 2 (m . z) m + 2 (a . z) b. Where z is 0
    there is no rotation, and the gradient passes straight through.
    """
    _check(z, vectors)
    start, end = z.detach(), vectors.detach()
    length = torch.linalg.vector_norm(start, dim=-1, keepdim=True)
    a, b = F.normalize(start, dim=-1), F.normalize(end, dim=-1)
    m = F.normalize(a + b, dim=-1)
    turned = z - 2 * _dot(m, z) * m + 2 * _dot(a, z) * b
    scale = torch.linalg.vector_norm(end, dim=-1, keepdim=True) / torch.where(length == 0, 1.0, length)
    moved = torch.where(length == 0, z, scale * turned)
    return end + (moved - moved.detach())


def along(path: Path, z: Float[Tensor, "*n d"], vectors: Float[Tensor, "*n d"]) -> Float[Tensor, "*n d"]:
    """One of the two by its name."""
    check_path("path", path)
    return rotation(z, vectors) if path == "rotation" else straight_through(z, vectors)


def check_path(name: str, path: object) -> None:
    check_choice(name, path, ("straight through", "rotation"))


def _dot(a: Tensor, b: Tensor) -> Tensor:
    return (a * b).sum(-1, keepdim=True)


def _check(z: Tensor, vectors: Tensor) -> None:
    check_floating("z", z, "... d")
    check_floating("vectors", vectors, "... d")
    if z.shape != vectors.shape:
        raise ValueError(
            f"expected vectors {tuple(z.shape)}, one for each of z, got {tuple(vectors.shape)}: index them by z's codes"
        )

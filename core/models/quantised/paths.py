"""Gradients through a rounding: vectors z are replaced by those of their codes, and the gradient passes to z."""

from typing import Literal, TypeAlias

import torch
from jaxtyping import Float
from torch import Tensor

from jensen.core.checks import check_choice, check_floating

Path: TypeAlias = Literal["straight-through", "rotation"]


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
    (a, length), (b, new_length) = _direction(start), _direction(end)
    m, _ = _direction(a + b)
    turned = z - 2 * _dot(m, z) * m + 2 * _dot(a, z) * b
    moved = torch.where(length == 0, z, new_length / torch.where(length == 0, 1.0, length) * turned)
    return end + (moved - moved.detach())


def along(path: Path, z: Float[Tensor, "*n d"], vectors: Float[Tensor, "*n d"]) -> Float[Tensor, "*n d"]:
    """One of the two by its name."""
    check_path("path", path)
    return rotation(z, vectors) if path == "rotation" else straight_through(z, vectors)


def check_path(name: str, path: object) -> None:
    check_choice(name, path, ("straight-through", "rotation"))


def _direction(t: Tensor) -> tuple[Tensor, Tensor]:
    """The unit vector and the length, 0 and 0 where there is neither."""
    length = torch.linalg.vector_norm(t, dim=-1, keepdim=True)
    return t / torch.where(length == 0, 1.0, length), length


def _dot(a: Tensor, b: Tensor) -> Tensor:
    return (a * b).sum(-1, keepdim=True)


def _check(z: Tensor, vectors: Tensor) -> None:
    check_floating("z", z, "... d")
    check_floating("vectors", vectors, "... d")
    if z.shape != vectors.shape:
        raise ValueError(
            f"expected vectors {tuple(z.shape)}, one for each of z, got {tuple(vectors.shape)}: index them by z's codes"
        )

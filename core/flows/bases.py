"""Orthonormal columns Q (d, m) as values: what tells the Sylvester flows apart."""

from typing import NamedTuple, Protocol, runtime_checkable

import torch
from jaxtyping import Float
from torch import Tensor


@runtime_checkable
class Basis(Protocol):
    """Q (*n, d, m) with Q' Q = I; `like` has its dtype and device, and m components."""

    def columns(self, like: Float[Tensor, "*n m"], /) -> Float[Tensor, "*n d m"]: ...


class Orthogonal(NamedTuple):
    """Q of the QR decomposition of a matrix with full rank: any subspace of m dimensions."""

    raw: Float[Tensor, "*n d m"]

    def columns(self, like: Float[Tensor, "*n m"], /) -> Float[Tensor, "*n d m"]:
        return torch.linalg.qr(self.raw)[0]


class Householder(NamedTuple):
    """The first m columns of reflection_1 … reflection_h, each I - 2 v v' / |v|^2 of one of h vectors v; I at v = 0."""

    vectors: Float[Tensor, "*n h d"]

    def columns(self, like: Float[Tensor, "*n m"], /) -> Float[Tensor, "*n d m"]:
        q = torch.eye(self.vectors.shape[-1], like.shape[-1], dtype=like.dtype, device=like.device)
        for v in reversed(self.vectors.unbind(-2)):
            square = v.square().sum(-1)[..., None]
            shares = 2 * v / torch.where(square > 0, square, 1.0)
            q = q - shares[..., None] * (v[..., None] * q).sum(-2, keepdim=True)
        return q


class Standard(NamedTuple):
    """Q = I: the axes themselves."""

    def columns(self, like: Float[Tensor, "*n m"], /) -> Float[Tensor, "m m"]:
        return torch.eye(like.shape[-1], dtype=like.dtype, device=like.device)

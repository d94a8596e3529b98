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
    """The first m columns of reflection_1 … reflection_h, each I - 2 v v' / |v|^2 of one of h vectors v; I at v = 0.

    By products of matrices, I - V S^-1 V' with S = triu(V'V, 1) + diag(|v|^2 / 2) (Joffrain et al., 2006).
    """

    vectors: Float[Tensor, "*n h d"]

    def columns(self, like: Float[Tensor, "*n m"], /) -> Float[Tensor, "*n d m"]:
        v, (d, m) = self.vectors, (self.vectors.shape[-1], like.shape[-1])
        half = v.square().sum(-1) / 2
        s = (v @ v.mT).triu(1) + torch.diag_embed(torch.where(half > 0, half, 1.0))
        shares = torch.linalg.solve_triangular(s, v[..., :m], upper=True)
        return torch.eye(d, m, dtype=like.dtype, device=like.device) - v.mT @ shares


class Standard(NamedTuple):
    """Q = I: the axes themselves."""

    def columns(self, like: Float[Tensor, "*n m"], /) -> Float[Tensor, "m m"]:
        return torch.eye(like.shape[-1], dtype=like.dtype, device=like.device)

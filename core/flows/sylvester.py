"""Sylvester flows (van den Berg et al., 2018): planar flows of m dimensions at once."""

from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from jensen.core import keys
from jensen.core.checks import check_count, check_floating, check_key
from jensen.core.contracts import Key
from jensen.core.flows._root import root
from jensen.core.flows.bases import Basis, Householder, Orthogonal, Standard
from jensen.core.flows.conditioner import linear

END = 1 - 5e-4  # of the diagonals, so that 1 + A_ii B_ii >= 1e-3


class Sylvester(NamedTuple):
    """z' = z + Q A tanh(B Q' z + b), with Q (d, m) orthonormal, and A and B (m, m) upper triangular, A_ii B_ii > -1.

    The diagonals of A and B are those of the fields under END tanh. `inverse` finds the m components of Q' z from the
    last to the first, each a scalar root by bisection and Newton's steps.

    Log det     sum_m log(1 + (1 - tanh^2) A_ii B_ii)
    Context     ignored; see `Hypernetwork`
    Per datum   with an axis n in its fields, one map for each datum, such as an encoder's outputs; without, one for all
    Reference   van den Berg et al., 2018
    """

    basis: Basis
    a: Float[Tensor, "*n m m"]
    b: Float[Tensor, "*n m m"]
    bias: Float[Tensor, "*n m"]

    @classmethod
    def orthogonal(cls, key: Key, d: int, m: int, dtype: torch.dtype = torch.float32) -> "Sylvester":
        """The identity: A = 0, in a random subspace of m dimensions, by the QR decomposition."""
        check_key(key)
        d = check_count("d", d)
        m = _columns(m, d)
        basis_key, b_key = keys.split(key)
        return _start(b_key, Orthogonal(keys.normal(basis_key, (d * m,), dtype).reshape(d, m)), m, dtype)

    @classmethod
    def householder(
        cls, key: Key, d: int, reflections: int, m: int | None = None, dtype: torch.dtype = torch.float32
    ) -> "Sylvester":
        """The identity: A = 0, in the first m (by default all) of d axes after so many random reflections."""
        check_key(key)
        d, h = check_count("d", d), check_count("reflections", reflections)
        m = d if m is None else _columns(m, d)
        basis_key, b_key = keys.split(key)
        return _start(b_key, Householder(keys.normal(basis_key, (h * d,), dtype).reshape(h, d)), m, dtype)

    @classmethod
    def triangular(cls, key: Key, d: int, dtype: torch.dtype = torch.float32) -> "Sylvester":
        """The identity: A = 0, along the axes themselves; with a `Reverse` between two, each sees every other."""
        check_key(key)
        return _start(key, Standard(), check_count("d", d), dtype)

    def forward(
        self, z: Float[Tensor, "*s n d"], context: Tensor | None = None, /
    ) -> tuple[Float[Tensor, "*s n d"], Float[Tensor, "*s n"]]:
        q, a, b = self._matrices(z)
        t = torch.tanh(linear(b @ q.mT, self.bias, z))  # small products first: two, not four, of z's size
        return z + linear(q @ a, None, t), _log_det(t, a, b)

    def inverse(
        self, z: Float[Tensor, "*s n d"], context: Tensor | None = None, /
    ) -> tuple[Float[Tensor, "*s n d"], Float[Tensor, "*s n"]]:
        q, a, b = self._matrices(z)
        image = linear(q.mT, None, z)
        x: list[Tensor] = []  # of the components after i
        t: list[Tensor] = []
        for i in reversed(range(image.shape[-1])):
            c = self.bias[..., i] + sum(b[..., i, i + 1 + j] * each for j, each in enumerate(x))
            y = image[..., i] - sum(a[..., i, i + 1 + j] * each for j, each in enumerate(t))
            found = root(y, a[..., i, i], b[..., i, i], c)
            x, t = [found, *x], [torch.tanh(b[..., i, i] * found + c), *t]
        moved = torch.stack(t, -1)
        return z - linear(q, None, linear(a, None, moved)), -_log_det(moved, a, b)

    def push_score(
        self, z: Float[Tensor, "*s n d"], score: Float[Tensor, "*s n d"], context: Tensor | None = None, /
    ) -> Float[Tensor, "*s n d"]:
        """J^-T (score - grad log det), J = I + Q A diag(1 - tanh^2) B Q': in the m dimensions alone."""
        q, a, b = self._matrices(z)
        t = torch.tanh(linear(b @ q.mT, self.bias, z))
        bend, product = 1 - t * t, _product(a, b)
        rest = score - linear(q @ b.mT, None, -2 * t * bend * product / (1 + bend * product))
        within = linear(q.mT, None, rest)
        inner = torch.eye(t.shape[-1], dtype=t.dtype, device=t.device) + (a * bend[..., None, :]) @ b
        solved = torch.linalg.solve_triangular(inner.mT, within[..., None], upper=False)[..., 0]
        return rest + linear(q, None, solved - within)

    def _matrices(self, z: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        q = self.basis.columns(self.bias)
        d = q.shape[-2]
        check_floating("z", z, f"... {d}", f"the flow is of {d} components")
        return q, _bounded(self.a), _bounded(self.b)


def _columns(m: int, d: int) -> int:
    if check_count("m", m) > d:
        raise ValueError(f"expected m <= d = {d}, got {m}: columns of d numbers")
    return m


def _start(key: Key, basis: Basis, m: int, dtype: torch.dtype) -> Sylvester:
    b = keys.normal(key, (m * m,), dtype).reshape(m, m) / m**0.5
    return Sylvester(basis, torch.zeros_like(b), b, torch.zeros_like(b[0]))


def _bounded(raw: Tensor) -> Tensor:
    """Upper triangular, with a diagonal in [-END, END]."""
    diagonal = END * torch.tanh(raw.diagonal(dim1=-2, dim2=-1))
    return raw.triu(1) + torch.diag_embed(diagonal)


def _log_det(t: Tensor, a: Tensor, b: Tensor) -> Tensor:
    return torch.log1p((1 - t * t) * _product(a, b)).sum(-1)


def _product(a: Tensor, b: Tensor) -> Tensor:
    """A_ii B_ii > -1."""
    return a.diagonal(dim1=-2, dim2=-1) * b.diagonal(dim1=-2, dim2=-1)

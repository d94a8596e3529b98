"""The matrix normal distribution."""

import math
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from jensen.core import keys
from jensen.core.checks import check_floating
from jensen.core.contracts import Key
from jensen.core.distributions._draw import sample_then_log_prob
from jensen.core.distributions._tempered import like_field
from jensen.core.distributions.shapes import check_pair, check_value, noise_shape
from jensen.core.distributions.support import moved_inside, outside, zero_density
from jensen.core.numerics import HALF_LOG_2PI, at_least_float32, bounded, exp_less_tangent


class MatrixNormal(NamedTuple):
    """loc + A E B^T with standard normal E, (p, q), one per datum: covariance A A^T of rows times B B^T of columns.

    A and B are lower triangular, with diagonals exp(row_log_scale) and exp(column_log_scale), below them those of
    row_lower and column_lower. Scales of A and B alone are not identified: only their product is.

    Support       matrices, (s, n, p, q)
    Noise         standard normal, (s, n, p, q)
    Closed forms  mean, entropy, KL, powers
    """

    loc: Float[Tensor, "n p q"]
    row_log_scale: Float[Tensor, "n p"]
    row_lower: Float[Tensor, "n p p"]  # what is on and above the diagonal is ignored
    column_log_scale: Float[Tensor, "n q"]
    column_lower: Float[Tensor, "n q q"]

    reparameterised = True
    sample_and_log_prob = sample_then_log_prob

    def noise(self, key: Key, s: int, /) -> Float[Tensor, "s n p q"]:
        """Standard normal noise (s, n, p, q) for `sample`."""
        return keys.normal(key, noise_shape(self.loc, s, 3), self.loc.dtype)

    def sample(self, eps: Float[Tensor, "s n p q"], /) -> Float[Tensor, "s n p q"]:
        """z = loc + A eps B^T, differentiable in all fields."""
        self._check()
        check_value(eps, self.loc, "noise")
        rows, columns = self._factors()
        return (self.loc + rows @ at_least_float32(eps) @ columns.mT).to(self.loc.dtype)

    def log_prob(self, z: Float[Tensor, "... n p q"], /) -> Float[Tensor, "... n"]:
        """log N(z; loc, A A^T, B B^T) in nats per datum: (s, n, p, q) -> (s, n)."""
        self._check()
        check_value(z, self.loc)
        rows = outside(z.flatten(-2), -math.inf)
        eps = self._whitened(at_least_float32(moved_inside(z, rows, 0.0)) - at_least_float32(self.loc))
        return zero_density(-0.5 * eps.square().sum((-2, -1)) - self._log_volume(), rows)

    def mean(self) -> Float[Tensor, "n p q"]:
        """loc: (n, p, q)."""
        return self.loc

    def entropy(self) -> Float[Tensor, " n"]:
        """q log det A + p log det B + p q log(2 pi e) / 2, in nats: (n,)."""
        self._check()
        return self._log_volume() + 0.5 * self.loc.shape[-2] * self.loc.shape[-1]

    def kl(self, p: "MatrixNormal", /) -> Float[Tensor, " n"]:
        """KL(self || p) in nats per datum: (n,). Exact for tiny values, and never negative.

        With R = A_p^-1 A and C = B_p^-1 B: the sum over i, j of E(2 log R_ii C_jj) / 2, E(t) = e^t - 1 - t, and half
        the squares of what is off the diagonal of R times C, and of A_p^-1 (loc - loc_p) B_p^-T.
        """
        check_pair(self, p)
        self._check()
        p._check()
        (rows, p_rows), (columns, p_columns) = zip(self._factors(), p._factors(), strict=True)
        change = bounded(self.row_log_scale) - bounded(p.row_log_scale)
        column_change = bounded(self.column_log_scale) - bounded(p.column_log_scale)
        own = 0.5 * exp_less_tangent(2 * (change[..., :, None] + column_change[..., None, :])).sum((-2, -1))
        row_rest, column_rest = _below_squares(rows, p_rows), _below_squares(columns, p_columns)
        row_diagonal, column_diagonal = (2 * change).exp().sum(-1), (2 * column_change).exp().sum(-1)
        rest = row_rest * (column_diagonal + column_rest) + row_diagonal * column_rest
        gap = p._whitened(at_least_float32(self.loc) - at_least_float32(p.loc)).square().sum((-2, -1))
        return own + 0.5 * (rest + gap)

    def tempered(self, temperature: float | Tensor, /) -> "MatrixNormal":
        """The normal of T times the covariance of rows."""
        self._check()
        t = like_field(temperature, self.row_log_scale)
        log_scale = (bounded(self.row_log_scale) + 0.5 * torch.log(t)).to(self.loc.dtype)
        lower = (self.row_lower * t.sqrt()[..., None]).to(self.loc.dtype)
        return self._replace(row_log_scale=log_scale, row_lower=lower)

    def _factors(self) -> tuple[Tensor, Tensor]:
        """A, (n, p, p), and B, (n, q, q)."""
        return _lower(self.row_log_scale, self.row_lower), _lower(self.column_log_scale, self.column_lower)

    def _whitened(self, z: Tensor) -> Tensor:
        """A^-1 z B^-T."""
        rows, columns = self._factors()
        half = torch.linalg.solve_triangular(rows, z, upper=False)
        return torch.linalg.solve_triangular(columns, half.mT, upper=False).mT

    def _log_volume(self) -> Tensor:
        """Half the log determinant of the covariance and p q log(2 pi) / 2."""
        rows, columns = self.loc.shape[-2:]
        own = columns * bounded(self.row_log_scale).sum(-1) + rows * bounded(self.column_log_scale).sum(-1)
        return own + rows * columns * HALF_LOG_2PI

    def _check(self) -> None:
        check_floating("loc", self.loc, "... p q", "a matrix for each datum")
        rows, columns = self.loc.shape[-2:]
        for name, size in (("row", rows), ("column", columns)):
            check_floating(f"{name}_log_scale", getattr(self, f"{name}_log_scale"), f"... {size}", "as loc has them")
            check_floating(f"{name}_lower", getattr(self, f"{name}_lower"), f"... {size} {size}", "as loc has them")


def _lower(log_scale: Tensor, lower: Tensor) -> Tensor:
    """The triangular factor of this diagonal."""
    return torch.tril(at_least_float32(lower), -1) + torch.diag_embed(torch.exp(bounded(log_scale)))


def _below_squares(factor: Tensor, other: Tensor) -> Tensor:
    """The squares below the diagonal of other^-1 factor, by the factors' difference: they keep their digits."""
    below = torch.tril(torch.linalg.solve_triangular(other, factor - other, upper=False), -1)
    return below.square().sum((-2, -1))

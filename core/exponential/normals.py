"""Exponential families of normals: precisions and precision-weighted means.

A `LowRankNormal` or a `MatrixNormal` is not one: their covariances are a curved set of a normal's.
"""

import math
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from jensen.core.distributions import DiagNormal, FullNormal, LogNormal
from jensen.core.distributions.definite import cholesky_factor
from jensen.core.exponential.family import Natural, check_member, check_some_member, check_statistics
from jensen.core.numerics import HALF_LOG_2PI, bounded


class DiagNormalFamily(NamedTuple):
    """eta . T = loc / scale^2 z - z^2 / (2 scale^2).

    Statistics  z; z^2
    Partition   loc^2 / (2 scale^2) + log scale + log(2 pi) / 2
    Base        1
    Means       E z^2 > (E z)^2
    """

    axes = {"z": 1, "square": 1}  # noqa: RUF012

    def natural(self, q: DiagNormal, /) -> Natural:
        """{"z": loc / scale^2, "square": -1 / (2 scale^2)}."""
        check_member(q, DiagNormal, self)
        return _natural(q)

    def from_natural(self, eta: Natural, /) -> DiagNormal:
        """scale^2 = -1 / (2 eta_square), loc = scale^2 eta_z."""
        check_statistics("eta", eta, self)
        return _from_natural(eta["z"], eta["square"], "square")

    def from_mean(self, mean: Natural, /) -> DiagNormal:
        """loc = E z, scale^2 = E z^2 - loc^2."""
        check_statistics("mean", mean, self)
        return _from_mean(mean["z"], mean["square"], "square")

    def statistics(self, z: Float[Tensor, "... d"], /) -> Natural:
        """{"z": z, "square": z^2}."""
        return {"z": z, "square": z.square()}

    def log_base(self, z: Float[Tensor, "... d"], /) -> Float[Tensor, "..."]:
        """0."""
        return torch.zeros_like(z[..., 0])

    def log_partition(self, eta: Natural, /) -> Float[Tensor, "..."]:
        """sum_d -eta_z^2 / (4 eta_square) - log(-2 eta_square) / 2 + log(2 pi) / 2."""
        check_statistics("eta", eta, self)
        return _log_partition(eta["z"], eta["square"])


class LogNormalFamily(NamedTuple):
    """The normal's of log z.

    Statistics  log z; (log z)^2
    Partition   the normal's
    Base        1 / z
    Means       E (log z)^2 > (E log z)^2
    """

    axes = {"log": 1, "square_log": 1}  # noqa: RUF012

    def natural(self, q: LogNormal, /) -> Natural:
        """{"log": loc / scale^2, "square_log": -1 / (2 scale^2)}."""
        check_member(q, LogNormal, self)
        eta = _natural(q)
        return {"log": eta["z"], "square_log": eta["square"]}

    def from_natural(self, eta: Natural, /) -> LogNormal:
        """scale^2 = -1 / (2 eta_square_log), loc = scale^2 eta_log."""
        check_statistics("eta", eta, self)
        return LogNormal(*_from_natural(eta["log"], eta["square_log"], "square_log"))

    def from_mean(self, mean: Natural, /) -> LogNormal:
        """loc = E log z, scale^2 = E (log z)^2 - loc^2."""
        check_statistics("mean", mean, self)
        return LogNormal(*_from_mean(mean["log"], mean["square_log"], "square_log"))

    def statistics(self, z: Float[Tensor, "... d"], /) -> Natural:
        """{"log": log z, "square_log": (log z)^2}."""
        log_z = torch.log(z)
        return {"log": log_z, "square_log": log_z.square()}

    def log_base(self, z: Float[Tensor, "... d"], /) -> Float[Tensor, "..."]:
        """-sum_d log z."""
        return -torch.log(z).sum(-1)

    def log_partition(self, eta: Natural, /) -> Float[Tensor, "..."]:
        """The normal's."""
        check_statistics("eta", eta, self)
        return _log_partition(eta["log"], eta["square_log"])


class FullNormalFamily(NamedTuple):
    """eta . T = (P loc) . z - tr(P z z^T) / 2, P the precision, the inverse of the covariance.

    Statistics  z; z z^T
    Partition   loc^T P loc / 2 - log det P / 2 + d log(2 pi) / 2
    Base        1
    Means       E z z^T - E z E z^T positive definite
    """

    axes = {"z": 1, "outer": 2}  # noqa: RUF012

    def natural(self, q: FullNormal, /) -> Natural:
        """{"z": P loc, "outer": -P / 2}."""
        check_member(q, FullNormal, self)
        scale = torch.tril(q.lower, -1) + torch.diag_embed(torch.exp(bounded(q.log_scale)))
        precision = torch.cholesky_inverse(scale)
        return {"z": (precision @ q.loc[..., None])[..., 0], "outer": -0.5 * precision}

    def from_natural(self, eta: Natural, /) -> FullNormal:
        """The normal of precision P = -2 eta_outer and mean P^-1 eta_z; of eta_outer the symmetric part counts."""
        check_statistics("eta", eta, self)
        factor = cholesky_factor("minus eta['outer']", -2 * _symmetric(eta["outer"]))
        covariance = torch.cholesky_inverse(factor)
        return _full_normal((covariance @ eta["z"][..., None])[..., 0], covariance)

    def from_mean(self, mean: Natural, /) -> FullNormal:
        """The normal of mean E z and covariance E z z^T - E z E z^T."""
        check_statistics("mean", mean, self)
        loc = mean["z"]
        return _full_normal(loc, _symmetric(mean["outer"]) - loc[..., :, None] * loc[..., None, :])

    def statistics(self, z: Float[Tensor, "... d"], /) -> Natural:
        """{"z": z, "outer": z z^T}."""
        return {"z": z, "outer": z[..., :, None] * z[..., None, :]}

    def log_base(self, z: Float[Tensor, "... d"], /) -> Float[Tensor, "..."]:
        """0."""
        return torch.zeros_like(z[..., 0])

    def log_partition(self, eta: Natural, /) -> Float[Tensor, "..."]:
        """|L^-1 eta_z|^2 / 2 - log det L + d log(2 pi) / 2, with L L^T = P = -2 eta_outer."""
        check_statistics("eta", eta, self)
        factor = cholesky_factor("minus eta['outer']", -2 * _symmetric(eta["outer"]))
        white = torch.linalg.solve_triangular(factor, eta["z"][..., None], upper=False)[..., 0]
        log_scale = -torch.log(factor.diagonal(dim1=-2, dim2=-1))
        return (0.5 * white.square() + log_scale + HALF_LOG_2PI).sum(-1)


def _natural(q: DiagNormal | LogNormal) -> Natural:
    precision = torch.exp(-2 * bounded(q.log_scale))
    return {"z": precision * q.loc, "square": -0.5 * precision}


def _from_natural(z: Tensor, square: Tensor, name: str) -> DiagNormal:
    check_some_member(f"eta['{name}']", square < 0, "values below 0")
    return DiagNormal(-0.5 * z / square, -0.5 * torch.log(-2 * square))


def _from_mean(z: Tensor, square: Tensor, name: str) -> DiagNormal:
    variance = square - z.square()
    check_some_member("mean", variance > 0, f"'{name}' above the square of the mean")
    return DiagNormal(z, 0.5 * torch.log(variance))


def _log_partition(z: Tensor, square: Tensor) -> Tensor:
    return (-0.25 * z.square() / square - 0.5 * torch.log(-2 * square) + 0.5 * math.log(2 * math.pi)).sum(-1)


def _full_normal(loc: Tensor, covariance: Tensor) -> FullNormal:
    factor = cholesky_factor("mean['outer'], less the square of mean['z'],", covariance)
    return FullNormal(loc, torch.log(factor.diagonal(dim1=-2, dim2=-1)), torch.tril(factor, -1))


def _symmetric(matrix: Tensor) -> Tensor:
    return 0.5 * (matrix + matrix.mT)

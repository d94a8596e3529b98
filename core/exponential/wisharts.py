"""The exponential family of Wishart matrices, the conjugate prior of a normal's precision."""

import math
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from jensen.core.distributions import Wishart
from jensen.core.distributions.definite import cholesky_factor
from jensen.core.exponential.family import Natural, check_member, check_some_member, check_statistics
from jensen.core.numerics import double, newton
from jensen.core.numerics.gammas import digamma_rest

LEAST, MOST = math.log(1e-6), math.log(1e12)  # of an excess that `from_mean` finds


class WishartFamily(NamedTuple):
    """eta . T = (df - d - 1) / 2 log det z - tr(V^-1 z) / 2.

    Statistics  log det z; z
    Partition   df (d log 2 + log det V) / 2 + log Gamma_d(df / 2), the multivariate gamma function
    Base        1
    Means       E log det z < log det E z, E z positive definite
    """

    axes = {"log_det": 0, "z": 2}  # noqa: RUF012

    def natural(self, q: Wishart, /) -> Natural:
        """{"log_det": (df - d - 1) / 2, "z": -V^-1 / 2}."""
        check_member(q, Wishart, self)
        inverse = torch.cholesky_inverse(q._factor())
        return {"log_det": 0.5 * q.excess - 1, "z": (-0.5 * inverse).to(q.lower.dtype)}

    def from_natural(self, eta: Natural, /) -> Wishart:
        """df = 2 eta_log_det + d + 1, V = (-2 eta_z)^-1; of eta_z the symmetric part counts."""
        check_statistics("eta", eta, self)
        check_some_member("eta['log_det']", eta["log_det"] > -1, "values above -1")
        scale = torch.cholesky_inverse(cholesky_factor("minus eta['z']", -eta["z"] - eta["z"].mT))
        return _wishart(2 * (eta["log_det"] + 1), scale)

    def from_mean(self, mean: Natural, /) -> Wishart:
        """df of sum_i digamma((df - i) / 2) - log(df / 2) = E log det z - log det E z, and V = E z / df."""
        check_statistics("mean", mean, self)
        z, d = 0.5 * (double(mean["z"]) + double(mean["z"]).mT), mean["z"].shape[-1]
        log_det = 2 * torch.log(cholesky_factor("mean['z']", z).diagonal(dim1=-2, dim2=-1)).sum(-1)
        gap = double(mean["log_det"]) - log_det
        check_some_member("mean", gap < 0, "'log_det' below the log determinant of 'z'")
        places = torch.arange(d - 1, -1, -1, dtype=torch.float64, device=z.device)

        def above(log_excess: Tensor) -> Tensor:
            halves = 0.5 * (torch.exp(log_excess)[..., None] + places)  # (df - i) / 2, the first of df / 2
            rest = digamma_rest(halves) + torch.log(halves / halves[..., :1])
            return torch.log(-gap) - torch.log(-rest.sum(-1))

        low = torch.full_like(gap, LEAST)
        excess = torch.exp(newton(above, low, low + MOST - LEAST, steps=20))
        scale = z / (excess + (d - 1))[..., None, None]
        return _wishart(excess.to(mean["z"].dtype), scale.to(mean["z"].dtype))

    def statistics(self, z: Float[Tensor, "... d d"], /) -> Natural:
        """{"log_det": log det z, "z": z}."""
        factor = torch.linalg.cholesky_ex(z).L
        return {"log_det": 2 * torch.log(factor.diagonal(dim1=-2, dim2=-1)).sum(-1), "z": z}

    def log_base(self, z: Float[Tensor, "... d d"], /) -> Float[Tensor, "..."]:
        """0."""
        return torch.zeros_like(z[..., 0, 0])

    def log_partition(self, eta: Natural, /) -> Float[Tensor, "..."]:
        """-df log det(-eta_z) / 2 + log Gamma_d(df / 2), df = 2 eta_log_det + d + 1."""
        check_statistics("eta", eta, self)
        d = eta["z"].shape[-1]
        half = eta["log_det"] + 0.5 * (d + 1)
        factor = cholesky_factor("minus eta['z']", -0.5 * (eta["z"] + eta["z"].mT))
        half_log_det = torch.log(factor.diagonal(dim1=-2, dim2=-1)).sum(-1)
        places = torch.arange(d, dtype=half.dtype, device=half.device)
        gammas = torch.lgamma(half[..., None] - 0.5 * places).sum(-1)
        return gammas + d * (d - 1) / 4 * math.log(math.pi) - 2 * half * half_log_det


def _wishart(excess: Tensor, scale: Tensor) -> Wishart:
    factor = cholesky_factor("the scale of mean['z'] or eta['z']", scale)
    return Wishart(excess, torch.log(factor.diagonal(dim1=-2, dim2=-1)), torch.tril(factor, -1))

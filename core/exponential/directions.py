"""The exponential family of directions."""

import math
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from jensen.core.distributions import VonMisesFisher
from jensen.core.distributions.polar_angle import PolarAngle, log_uniform
from jensen.core.exponential.family import Natural, check_member, check_some_member, check_statistics
from jensen.core.numerics import double, newton

LEAST, MOST = math.log(1e-4), math.log(1e6)  # of a concentration that `from_mean` finds


class VonMisesFisherFamily(NamedTuple):
    """eta . T = k m . z, of the mean direction m and the concentration k = |eta| > 0.

    Statistics  z, a unit vector
    Partition   k + log of the integral of e^(k (m . z - 1)) over the sphere
    Base        1, on the sphere's surface
    Means       0 < |E z| < 1; k solves |E z| = I_(d / 2)(k) / I_(d / 2 - 1)(k)
    """

    axes = {"z": 1}  # noqa: RUF012

    def natural(self, q: VonMisesFisher, /) -> Natural:
        """{"z": k m}."""
        check_member(q, VonMisesFisher, self)
        return {"z": q.concentration * q.loc / _length(q.loc)}

    def from_natural(self, eta: Natural, /) -> VonMisesFisher:
        """m = eta / |eta|, k = |eta|."""
        check_statistics("eta", eta, self)
        k = _length(eta["z"])
        check_some_member("eta['z']", k > 0, "lengths above 0")
        return VonMisesFisher(eta["z"] / k, k)

    def from_mean(self, mean: Natural, /) -> VonMisesFisher:
        """m = E z / |E z|, with k between 1e-4 and 1e6 by Newton's steps on the odds of |E z|."""
        check_statistics("mean", mean, self)
        z, d = double(mean["z"]), mean["z"].shape[-1]
        length = _length(z)
        check_some_member("mean['z']", (length > 0) & (length < 1), "lengths between 0 and 1")

        def above(log_k: Tensor) -> Tensor:
            rest = PolarAngle.of(torch.exp(log_k), d).versine()  # 1 - |E z|
            return torch.log1p(-rest) - torch.log(rest) - torch.logit(length[..., 0])

        low = torch.full_like(length[..., 0], LEAST)
        k = torch.exp(newton(above, low, low + MOST - LEAST, steps=12))[..., None]
        return VonMisesFisher((z / length).to(mean["z"].dtype), k.to(mean["z"].dtype))

    def statistics(self, z: Float[Tensor, "... d"], /) -> Natural:
        """{"z": z}."""
        return {"z": z}

    def log_base(self, z: Float[Tensor, "... d"], /) -> Float[Tensor, "..."]:
        """0."""
        return torch.zeros_like(z[..., 0])

    def log_partition(self, eta: Natural, /) -> Float[Tensor, "..."]:
        """k + log of the integral of e^(k (m . z - 1)), k = |eta|."""
        check_statistics("eta", eta, self)
        k = _length(double(eta["z"]))[..., 0]
        whole = k + PolarAngle.of(k, eta["z"].shape[-1]).log_normaliser() + log_uniform(eta["z"].shape[-1])
        return whole.to(eta["z"].dtype)


def _length(t: Tensor) -> Tensor:
    return torch.linalg.vector_norm(t, dim=-1, keepdim=True)

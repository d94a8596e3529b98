"""Exponential families of positive values that rest on the gamma function."""

import math
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from jensen.core.distributions import ChiSquared, Exponential, Gamma, InverseGamma
from jensen.core.exponential.family import Natural, check_member, check_some_member, check_statistics
from jensen.core.numerics import double
from jensen.core.numerics.digamma_roots import inverse_digamma, inverse_digamma_rest


class ExponentialDistributionFamily(NamedTuple):
    """eta . T = -rate z: eta < 0.

    Statistics  z
    Partition   -log -eta
    Base        1
    Means       above 0
    """

    axes = {"z": 1}  # noqa: RUF012

    def natural(self, q: Exponential, /) -> Natural:
        """{"z": -rate}."""
        check_member(q, Exponential, self)
        return {"z": -q.rate}

    def from_natural(self, eta: Natural, /) -> Exponential:
        """rate = -eta."""
        check_statistics("eta", eta, self)
        check_some_member("eta['z']", eta["z"] < 0, "values below 0")
        return Exponential(-eta["z"])

    def from_mean(self, mean: Natural, /) -> Exponential:
        """rate = 1 / mean."""
        check_statistics("mean", mean, self)
        check_some_member("mean['z']", mean["z"] > 0, "values above 0")
        return Exponential(1 / mean["z"])

    def statistics(self, z: Float[Tensor, "... d"], /) -> Natural:
        """{"z": z}."""
        return {"z": z}

    def log_base(self, z: Float[Tensor, "... d"], /) -> Float[Tensor, "..."]:
        """0."""
        return torch.zeros_like(z[..., 0])

    def log_partition(self, eta: Natural, /) -> Float[Tensor, "..."]:
        """-sum_d log -eta."""
        check_statistics("eta", eta, self)
        return -torch.log(-eta["z"]).sum(-1)


class GammaFamily(NamedTuple):
    """eta . T = (a - 1) log z - b z, a = concentration and b = rate.

    Statistics  log z; z
    Partition   log Gamma(a) - a log b
    Base        1
    Means       E log z < log E z; a solves log a - digamma(a) = log E z - E log z
    """

    axes = {"log": 1, "z": 1}  # noqa: RUF012

    def natural(self, q: Gamma, /) -> Natural:
        """{"log": a - 1, "z": -b}."""
        check_member(q, Gamma, self)
        return {"log": q.concentration - 1, "z": -q.rate}

    def from_natural(self, eta: Natural, /) -> Gamma:
        """a = eta_log + 1, b = -eta_z."""
        check_statistics("eta", eta, self)
        check_some_member("eta", (eta["log"] > -1) & (eta["z"] < 0), "'log' above -1 and 'z' below 0")
        return Gamma(eta["log"] + 1, -eta["z"])

    def from_mean(self, mean: Natural, /) -> Gamma:
        """The gamma of these E log z and E z, to some 1e-16 a relatively."""
        check_statistics("mean", mean, self)
        return Gamma(*_concentration_and_rate(mean["log"], mean["z"], "'log' below the log of 'z'"))

    def statistics(self, z: Float[Tensor, "... d"], /) -> Natural:
        """{"log": log z, "z": z}."""
        return {"log": torch.log(z), "z": z}

    def log_base(self, z: Float[Tensor, "... d"], /) -> Float[Tensor, "..."]:
        """0."""
        return torch.zeros_like(z[..., 0])

    def log_partition(self, eta: Natural, /) -> Float[Tensor, "..."]:
        """sum_d log Gamma(a) - a log b."""
        check_statistics("eta", eta, self)
        a = eta["log"] + 1
        return (torch.lgamma(a) - a * torch.log(-eta["z"])).sum(-1)


class InverseGammaFamily(NamedTuple):
    """eta . T = -(a + 1) log z - b / z, a = concentration and b = rate.

    Statistics  log z; 1 / z
    Partition   log Gamma(a) - a log b
    Base        1
    Means       -E log z < log E 1 / z, as of the gamma of 1 / z
    """

    axes = {"log": 1, "inverse": 1}  # noqa: RUF012

    def natural(self, q: InverseGamma, /) -> Natural:
        """{"log": -a - 1, "inverse": -b}."""
        check_member(q, InverseGamma, self)
        return {"log": -q.concentration - 1, "inverse": -q.rate}

    def from_natural(self, eta: Natural, /) -> InverseGamma:
        """a = -eta_log - 1, b = -eta_inverse."""
        check_statistics("eta", eta, self)
        check_some_member("eta", (eta["log"] < -1) & (eta["inverse"] < 0), "'log' below -1 and 'inverse' below 0")
        return InverseGamma(-eta["log"] - 1, -eta["inverse"])

    def from_mean(self, mean: Natural, /) -> InverseGamma:
        """The one of these E log z and E 1 / z, to some 1e-16 a relatively."""
        check_statistics("mean", mean, self)
        condition = "minus 'log' below the log of 'inverse'"
        return InverseGamma(*_concentration_and_rate(-mean["log"], mean["inverse"], condition))

    def statistics(self, z: Float[Tensor, "... d"], /) -> Natural:
        """{"log": log z, "inverse": 1 / z}."""
        return {"log": torch.log(z), "inverse": 1 / z}

    def log_base(self, z: Float[Tensor, "... d"], /) -> Float[Tensor, "..."]:
        """0."""
        return torch.zeros_like(z[..., 0])

    def log_partition(self, eta: Natural, /) -> Float[Tensor, "..."]:
        """sum_d log Gamma(a) - a log b."""
        check_statistics("eta", eta, self)
        a = -eta["log"] - 1
        return (torch.lgamma(a) - a * torch.log(-eta["inverse"])).sum(-1)


class ChiSquaredFamily(NamedTuple):
    """eta . T = (df / 2 - 1) log z.

    Statistics  log z
    Partition   log Gamma(df / 2) + df / 2 log 2
    Base        e^(-z / 2)
    Means       any; df solves digamma(df / 2) = E log z - log 2
    """

    axes = {"log": 1}  # noqa: RUF012

    def natural(self, q: ChiSquared, /) -> Natural:
        """{"log": df / 2 - 1}."""
        check_member(q, ChiSquared, self)
        return {"log": 0.5 * q.df - 1}

    def from_natural(self, eta: Natural, /) -> ChiSquared:
        """df = 2 (eta + 1)."""
        check_statistics("eta", eta, self)
        check_some_member("eta['log']", eta["log"] > -1, "values above -1")
        return ChiSquared(2 * (eta["log"] + 1))

    def from_mean(self, mean: Natural, /) -> ChiSquared:
        """The one of this E log z."""
        check_statistics("mean", mean, self)
        log = mean["log"]
        return ChiSquared(2 * inverse_digamma(double(log) - math.log(2)).to(log.dtype))

    def statistics(self, z: Float[Tensor, "... d"], /) -> Natural:
        """{"log": log z}."""
        return {"log": torch.log(z)}

    def log_base(self, z: Float[Tensor, "... d"], /) -> Float[Tensor, "..."]:
        """-sum_d z / 2."""
        return -0.5 * z.sum(-1)

    def log_partition(self, eta: Natural, /) -> Float[Tensor, "..."]:
        """sum_d log Gamma(df / 2) + df / 2 log 2."""
        check_statistics("eta", eta, self)
        half = eta["log"] + 1
        return (torch.lgamma(half) + half * math.log(2)).sum(-1)


def _concentration_and_rate(log: Tensor, mean: Tensor, condition: str) -> tuple[Tensor, Tensor]:
    """a and b of the gamma with these E log z and E z."""
    below = double(log) - torch.log(double(mean))
    check_some_member("mean", (mean > 0) & (below < 0), condition)
    a = inverse_digamma_rest(below)
    return a.to(log.dtype), (a / double(mean)).to(log.dtype)

"""Exponential families of counts, whose statistic is the count itself."""

from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

from jensen.core.distributions import Bernoulli, Binomial, Geometric, NegativeBinomial, Poisson
from jensen.core.distributions.binomial import check_total
from jensen.core.exponential.family import Natural, check_member, check_some_member, check_statistics
from jensen.core.numerics import at_least_float32, softplus
from jensen.core.trees import Static


class BernoulliFamily(NamedTuple):
    """eta . T = logits z.

    Statistics  z
    Partition   log(1 + e^eta)
    Base        1
    Means       in (0, 1)
    """

    axes = {"z": 1}  # noqa: RUF012

    def natural(self, q: Bernoulli, /) -> Natural:
        """{"z": logits}."""
        check_member(q, Bernoulli, self)
        return {"z": q.logits}

    def from_natural(self, eta: Natural, /) -> Bernoulli:
        """The Bernoulli of these log odds."""
        check_statistics("eta", eta, self)
        return Bernoulli(eta["z"])

    def from_mean(self, mean: Natural, /) -> Bernoulli:
        """logits = log(mean / (1 - mean))."""
        check_statistics("mean", mean, self)
        return Bernoulli(_logit(mean["z"], 1))

    def statistics(self, z: Float[Tensor, "... d"], /) -> Natural:
        """{"z": z}."""
        return {"z": z}

    def log_base(self, z: Float[Tensor, "... d"], /) -> Float[Tensor, "..."]:
        """0."""
        return torch.zeros_like(z[..., 0])

    def log_partition(self, eta: Natural, /) -> Float[Tensor, "..."]:
        """sum_d log(1 + e^eta)."""
        check_statistics("eta", eta, self)
        return softplus(eta["z"]).sum(-1)


class BinomialFamily(NamedTuple):
    """eta . T = logits z, of N = total_count trials.

    Statistics  z
    Partition   N log(1 + e^eta)
    Base        N! / (z! (N - z)!)
    Means       in (0, N)
    """

    total_count: Static[int]

    axes = {"z": 1}  # noqa: RUF012

    def natural(self, q: Binomial, /) -> Natural:
        """{"z": logits}."""
        check_member(q, Binomial, self)
        return {"z": q.logits}

    def from_natural(self, eta: Natural, /) -> Binomial:
        """The binomial of these log odds."""
        check_statistics("eta", eta, self)
        return Binomial(eta["z"], self.total_count)

    def from_mean(self, mean: Natural, /) -> Binomial:
        """logits = log(mean / (N - mean))."""
        check_statistics("mean", mean, self)
        return Binomial(_logit(mean["z"], check_total(self.total_count)), self.total_count)

    def statistics(self, z: Float[Tensor, "... d"], /) -> Natural:
        """{"z": z}."""
        return {"z": z}

    def log_base(self, z: Float[Tensor, "... d"], /) -> Float[Tensor, "..."]:
        """sum_d log N! - log z! - log (N - z)!."""
        total = torch.full_like(z, check_total(self.total_count))
        return (_log_factorial(total) - _log_factorial(z) - _log_factorial(total - z)).sum(-1)

    def log_partition(self, eta: Natural, /) -> Float[Tensor, "..."]:
        """N sum_d log(1 + e^eta)."""
        check_statistics("eta", eta, self)
        return check_total(self.total_count) * softplus(eta["z"]).sum(-1)


class PoissonFamily(NamedTuple):
    """eta . T = z log rate.

    Statistics  z
    Partition   e^eta
    Base        1 / z!
    Means       above 0
    """

    axes = {"z": 1}  # noqa: RUF012

    def natural(self, q: Poisson, /) -> Natural:
        """{"z": log rate}."""
        check_member(q, Poisson, self)
        return {"z": torch.log(q.rate)}

    def from_natural(self, eta: Natural, /) -> Poisson:
        """rate = e^eta."""
        check_statistics("eta", eta, self)
        return Poisson(torch.exp(eta["z"]))

    def from_mean(self, mean: Natural, /) -> Poisson:
        """rate = mean."""
        check_statistics("mean", mean, self)
        check_some_member("mean['z']", mean["z"] > 0, "values above 0")
        return Poisson(mean["z"])

    def statistics(self, z: Float[Tensor, "... d"], /) -> Natural:
        """{"z": z}."""
        return {"z": z}

    def log_base(self, z: Float[Tensor, "... d"], /) -> Float[Tensor, "..."]:
        """-sum_d log z!."""
        return -_log_factorial(z).sum(-1)

    def log_partition(self, eta: Natural, /) -> Float[Tensor, "..."]:
        """sum_d e^eta."""
        check_statistics("eta", eta, self)
        return torch.exp(eta["z"]).sum(-1)


class GeometricFamily(NamedTuple):
    """eta . T = z log(1 - p): eta < 0.

    Statistics  z
    Partition   -log(1 - e^eta)
    Base        1
    Means       above 0
    """

    axes = {"z": 1}  # noqa: RUF012

    def natural(self, q: Geometric, /) -> Natural:
        """{"z": log(1 - p)}."""
        check_member(q, Geometric, self)
        return {"z": F.logsigmoid(-q.logits)}

    def from_natural(self, eta: Natural, /) -> Geometric:
        """logits = log(e^-eta - 1)."""
        check_statistics("eta", eta, self)
        check_some_member("eta['z']", eta["z"] < 0, "values below 0")
        return Geometric(-_log_odds_below(eta["z"]))

    def from_mean(self, mean: Natural, /) -> Geometric:
        """logits = -log mean."""
        check_statistics("mean", mean, self)
        check_some_member("mean['z']", mean["z"] > 0, "values above 0")
        return Geometric(-torch.log(mean["z"]))

    def statistics(self, z: Float[Tensor, "... d"], /) -> Natural:
        """{"z": z}."""
        return {"z": z}

    def log_base(self, z: Float[Tensor, "... d"], /) -> Float[Tensor, "..."]:
        """0."""
        return torch.zeros_like(z[..., 0])

    def log_partition(self, eta: Natural, /) -> Float[Tensor, "..."]:
        """-sum_d log(1 - e^eta)."""
        check_statistics("eta", eta, self)
        return -torch.log(-torch.expm1(eta["z"])).sum(-1)


class NegativeBinomialFamily(NamedTuple):
    """eta . T = z log p, of r = total_count failures: eta < 0.

    Statistics  z
    Partition   -r log(1 - e^eta)
    Base        Gamma(z + r) / (Gamma(r) z!)
    Means       above 0
    """

    total_count: Float[Tensor, "*n d"]

    axes = {"z": 1}  # noqa: RUF012

    def natural(self, q: NegativeBinomial, /) -> Natural:
        """{"z": log p}."""
        check_member(q, NegativeBinomial, self)
        return {"z": F.logsigmoid(q.logits)}

    def from_natural(self, eta: Natural, /) -> NegativeBinomial:
        """logits = eta - log(1 - e^eta)."""
        check_statistics("eta", eta, self)
        check_some_member("eta['z']", eta["z"] < 0, "values below 0")
        return NegativeBinomial(self.total_count, _log_odds_below(eta["z"]))

    def from_mean(self, mean: Natural, /) -> NegativeBinomial:
        """logits = log(mean / r)."""
        check_statistics("mean", mean, self)
        check_some_member("mean['z']", mean["z"] > 0, "values above 0")
        return NegativeBinomial(self.total_count, torch.log(mean["z"] / self.total_count))

    def statistics(self, z: Float[Tensor, "... d"], /) -> Natural:
        """{"z": z}."""
        return {"z": z}

    def log_base(self, z: Float[Tensor, "... d"], /) -> Float[Tensor, "..."]:
        """sum_d log Gamma(z + r) - log Gamma(r) - log z!."""
        r = at_least_float32(self.total_count)
        return (torch.lgamma(z + r) - torch.lgamma(r) - _log_factorial(z)).sum(-1)

    def log_partition(self, eta: Natural, /) -> Float[Tensor, "..."]:
        """-r sum_d log(1 - e^eta)."""
        check_statistics("eta", eta, self)
        return -(self.total_count * torch.log(-torch.expm1(eta["z"]))).sum(-1)


def _logit(mean: Tensor, most: int) -> Tensor:
    """log(mean / (most - mean))."""
    check_some_member("mean['z']", (mean > 0) & (mean < most), f"values between 0 and {most}")
    return torch.log(mean) - torch.log(most - mean)


def _log_odds_below(eta: Tensor) -> Tensor:
    """log(e^eta / (1 - e^eta))."""
    return eta - torch.log(-torch.expm1(eta))


def _log_factorial(z: Tensor) -> Tensor:
    return torch.lgamma(at_least_float32(z) + 1)

"""Exponential families of shares: on the simplex, and on the unit interval."""

import math
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from jensen.core.distributions import Beta, ContinuousBernoulli, Dirichlet
from jensen.core.distributions.exponential_tilt import log_normaliser, log_normaliser_slope
from jensen.core.exponential.family import Natural, check_member, check_some_member, check_statistics
from jensen.core.numerics import double
from jensen.core.numerics.digamma_roots import inverse_digamma
from jensen.core.numerics.roots import newton, polished

LEAST, MOST = math.log(1e-6), math.log(1e15)  # of a Dirichlet's total concentration


class BetaFamily(NamedTuple):
    """eta . T = (a - 1) log z + (b - 1) log(1 - z), a = concentration1 and b = concentration0.

    Statistics  log z; log(1 - z)
    Partition   log Gamma(a) + log Gamma(b) - log Gamma(a + b)
    Base        1
    Means       e^(E log z) + e^(E log(1 - z)) < 1
    """

    axes = {"log": 1, "log_rest": 1}  # noqa: RUF012

    def natural(self, q: Beta, /) -> Natural:
        """{"log": a - 1, "log_rest": b - 1}."""
        check_member(q, Beta, self)
        return {"log": q.concentration1 - 1, "log_rest": q.concentration0 - 1}

    def from_natural(self, eta: Natural, /) -> Beta:
        """a = eta_log + 1, b = eta_log_rest + 1."""
        check_statistics("eta", eta, self)
        check_some_member("eta", (eta["log"] > -1) & (eta["log_rest"] > -1), "values above -1")
        return Beta(eta["log"] + 1, eta["log_rest"] + 1)

    def from_mean(self, mean: Natural, /) -> Beta:
        """The Dirichlet of two with these means."""
        check_statistics("mean", mean, self)
        return Beta(*_concentrations(torch.stack([mean["log"], mean["log_rest"]], -1)).unbind(-1))

    def statistics(self, z: Float[Tensor, "... d"], /) -> Natural:
        """{"log": log z, "log_rest": log(1 - z)}."""
        return {"log": torch.log(z), "log_rest": torch.log1p(-z)}

    def log_base(self, z: Float[Tensor, "... d"], /) -> Float[Tensor, "..."]:
        """0."""
        return torch.zeros_like(z[..., 0])

    def log_partition(self, eta: Natural, /) -> Float[Tensor, "..."]:
        """sum_d log B(a, b)."""
        check_statistics("eta", eta, self)
        a, b = eta["log"] + 1, eta["log_rest"] + 1
        return (torch.lgamma(a) + torch.lgamma(b) - torch.lgamma(a + b)).sum(-1)


class DirichletFamily(NamedTuple):
    """eta . T = sum_k (a - 1) log z, a = concentration.

    Statistics  log z
    Partition   sum_k log Gamma(a) - log Gamma(sum_k a)
    Base        1
    Means       sum_k e^(E log z) < 1
    """

    axes = {"log": 1}  # noqa: RUF012

    def natural(self, q: Dirichlet, /) -> Natural:
        """{"log": a - 1}."""
        check_member(q, Dirichlet, self)
        return {"log": q.concentration - 1}

    def from_natural(self, eta: Natural, /) -> Dirichlet:
        """a = eta + 1."""
        check_statistics("eta", eta, self)
        check_some_member("eta['log']", eta["log"] > -1, "values above -1")
        return Dirichlet(eta["log"] + 1)

    def from_mean(self, mean: Natural, /) -> Dirichlet:
        """The one of these E log z, with sum_k a between 1e-6 and 1e15."""
        check_statistics("mean", mean, self)
        return Dirichlet(_concentrations(mean["log"]))

    def statistics(self, z: Float[Tensor, "... k"], /) -> Natural:
        """{"log": log z}."""
        return {"log": torch.log(z)}

    def log_base(self, z: Float[Tensor, "... k"], /) -> Float[Tensor, "..."]:
        """0."""
        return torch.zeros_like(z[..., 0])

    def log_partition(self, eta: Natural, /) -> Float[Tensor, "..."]:
        """log B(a)."""
        check_statistics("eta", eta, self)
        a = eta["log"] + 1
        return torch.lgamma(a).sum(-1) - torch.lgamma(a.sum(-1))


class ContinuousBernoulliFamily(NamedTuple):
    """eta . T = logits z.

    Statistics  z
    Partition   log((e^eta - 1) / eta), 0 at 0
    Base        1
    Means       in (0, 1)
    """

    axes = {"z": 1}  # noqa: RUF012

    def natural(self, q: ContinuousBernoulli, /) -> Natural:
        """{"z": logits}."""
        check_member(q, ContinuousBernoulli, self)
        return {"z": q.logits}

    def from_natural(self, eta: Natural, /) -> ContinuousBernoulli:
        """The continuous Bernoulli of these logits."""
        check_statistics("eta", eta, self)
        return ContinuousBernoulli(eta["z"])

    def from_mean(self, mean: Natural, /) -> ContinuousBernoulli:
        """`ContinuousBernoulli.from_mean`, differentiable."""
        check_statistics("mean", mean, self)
        z = mean["z"]
        check_some_member("mean['z']", (z > 0) & (z < 1), "values between 0 and 1")
        start = ContinuousBernoulli.from_mean(z.detach()).logits
        return ContinuousBernoulli(polished(lambda logits: log_normaliser_slope(logits) - z, start))

    def statistics(self, z: Float[Tensor, "... d"], /) -> Natural:
        """{"z": z}."""
        return {"z": z}

    def log_base(self, z: Float[Tensor, "... d"], /) -> Float[Tensor, "..."]:
        """0."""
        return torch.zeros_like(z[..., 0])

    def log_partition(self, eta: Natural, /) -> Float[Tensor, "..."]:
        """sum_d log((e^eta - 1) / eta)."""
        check_statistics("eta", eta, self)
        return log_normaliser(eta["z"]).sum(-1)


def _concentrations(log: Tensor) -> Tensor:
    """The a with digamma(a_k) - digamma(sum_k a) = log_k: (*n, k).

    With the a_k that follow from a total, total - sum_k a_k is below 0 before the root and above 0 after it, as
    x digamma'(x) falls.
    """
    mean = double(log)
    check_some_member("mean['log']", torch.logsumexp(mean, -1) < 0, "sums of exponentials below 1")

    def parts(total: Tensor) -> Tensor:
        return inverse_digamma(mean + torch.digamma(total)[..., None])

    low = torch.full_like(mean[..., 0], LEAST)
    log_total = newton(lambda t: t - torch.log(parts(torch.exp(t)).sum(-1)), low, low + MOST - LEAST, steps=15)
    return parts(torch.exp(log_total)).to(log.dtype)

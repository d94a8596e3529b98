"""Conjugate pairs of discrete data: the posterior of a parameter, the next observation, and the evidence.

A pair holds q, the distribution of the parameter. Observations x (s, n, *event) are s of each of n data.

    posterior     q after x, a pair again: one by one as all at once
    predictive    the distribution of the next observation, the parameter averaged out
    log_evidence  log p(x), (n,), in nats: the sum of the predictive log densities one by one
    message       what x adds to q's natural parameters: the log likelihood, but for what does not hold the parameter
"""

from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from jensen.core import trees
from jensen.core.checks import check_floating
from jensen.core.distributions import Bernoulli, Beta, Categorical, Dirichlet, Gamma, NegativeBinomial
from jensen.core.distributions.shapes import check_value
from jensen.core.exponential.family import ExponentialFamily, Natural, Q
from jensen.core.exponential.gammas import GammaFamily
from jensen.core.exponential.shares import BetaFamily, DirichletFamily
from jensen.core.numerics import double, narrow


class BetaBernoulli(NamedTuple):
    """Bernoullis whose probability is beta.

    Parameter   the probability of 1, from q
    Data        0 and 1, (s, n, d)
    Predictive  Bernoulli of q's mean
    """

    q: Beta

    def posterior(self, x: Float[Tensor, "s *n d"], /) -> "BetaBernoulli":
        """Beta(a + sum x, b + sum (1 - x))."""
        return BetaBernoulli(updated(BetaFamily(), self.q, self.message(x)))

    def predictive(self) -> Bernoulli:
        """logits = log(a / b)."""
        return Bernoulli(torch.log(self.q.concentration1) - torch.log(self.q.concentration0))

    def log_evidence(self, x: Float[Tensor, "s *n d"], /) -> Float[Tensor, "*n"]:
        """sum_d log B(a', b') - log B(a, b), a' and b' those of the posterior."""
        return gain(BetaFamily(), self.q, self.message(x))

    def message(self, x: Float[Tensor, "s *n d"], /) -> Natural:
        """{"log": sum x, "log_rest": sum (1 - x)}."""
        check_observations(x, self.q.concentration1)
        return {"log": x.sum(0), "log_rest": (1 - x).sum(0)}


class GammaPoisson(NamedTuple):
    """Poisson counts whose rate is gamma.

    Parameter   the rate, from q
    Data        whole numbers, (s, n, d)
    Predictive  negative binomial
    """

    q: Gamma

    def posterior(self, x: Float[Tensor, "s *n d"], /) -> "GammaPoisson":
        """Gamma(a + sum x, b + s)."""
        return GammaPoisson(updated(GammaFamily(), self.q, self.message(x)))

    def predictive(self) -> NegativeBinomial:
        """total_count = a, logits = -log b."""
        return NegativeBinomial(self.q.concentration, -torch.log(self.q.rate))

    def log_evidence(self, x: Float[Tensor, "s *n d"], /) -> Float[Tensor, "*n"]:
        """sum_d log Gamma(a') - a' log b' - log Gamma(a) + a log b - sum log x!, a' and b' those of the posterior."""
        learned = gain(GammaFamily(), self.q, self.message(x))
        return learned - narrow(torch.lgamma(double(x) + 1).sum((0, -1)), x)

    def message(self, x: Float[Tensor, "s *n d"], /) -> Natural:
        """{"log": sum x, "z": -s}."""
        check_observations(x, self.q.rate)
        return {"log": x.sum(0), "z": torch.full_like(self.q.rate, -len(x))}


class DirichletCategorical(NamedTuple):
    """Choices among k values whose probabilities are Dirichlet: d choices, each with its own.

    Parameter   the probabilities, from q of concentration (n, d, k)
    Data        one-hot, (s, n, d, k)
    Predictive  categorical of q's mean
    """

    q: Dirichlet

    def posterior(self, x: Float[Tensor, "s *n d k"], /) -> "DirichletCategorical":
        """Dirichlet(a + sum x)."""
        return DirichletCategorical(updated(DirichletFamily(), self.q, self.message(x)))

    def predictive(self) -> Categorical:
        """logits = log a."""
        return Categorical(torch.log(self.q.concentration))

    def log_evidence(self, x: Float[Tensor, "s *n d k"], /) -> Float[Tensor, "*n"]:
        """sum_d log B(a') - log B(a), a' that of the posterior."""
        return gain(DirichletFamily(), self.q, self.message(x)).sum(-1)

    def message(self, x: Float[Tensor, "s *n d k"], /) -> Natural:
        """{"log": sum x}."""
        check_observations(x, self.q.concentration)
        return {"log": x.sum(0)}


def updated(family: ExponentialFamily[Q], q: Q, message: Natural) -> Q:
    """The member whose natural parameters are q's and the message's together."""
    return family.from_natural(trees.map(torch.add, family.natural(q), message))


def gain(family: ExponentialFamily[Q], q: Q, message: Natural) -> Float[Tensor, "..."]:
    """log E_q e^(message . T) = A(eta + message) - A(eta), in float64 and then in the message's type."""
    wide = trees.map(double, message)
    eta = trees.map(double, family.natural(q))
    rise = family.log_partition(trees.map(torch.add, eta, wide)) - family.log_partition(eta)
    return narrow(rise, next(iter(message.values())))


def check_observations(x: Tensor, parameter: Tensor) -> None:
    """ValueError unless x (s, n, ...) has one axis more than a parameter (n, ...), the first."""
    check_floating("x", x)
    check_value(x, parameter, "x")
    if x.ndim != parameter.ndim + 1:
        raise ValueError(
            f"expected x of one axis more than the parameter {tuple(parameter.shape)}, got {tuple(x.shape)}: "
            "observations come first, (s, n, ...)"
        )

"""Models whose evidence, posterior and bounds are known exactly, in float64 and without the library's densities."""

import itertools
import math
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor


class LinearGaussian(NamedTuple):
    """z ~ N(0, I_d), x | z ~ N(W z + b, sigma^2 I): weight (D, d), bias (D,), data x (n, D)."""

    weight: Tensor
    bias: Tensor
    log_sigma: Tensor
    x: Tensor

    def log_joint(self, z: Tensor) -> Tensor:
        """z (s, n, d) -> (s, n)."""
        return normal_log_density(z, torch.zeros_like(z), torch.zeros(())) + normal_log_density(
            self.x, z @ self.weight.T + self.bias, self.log_sigma
        )

    def log_evidence(self) -> Tensor:
        """log N(x; b, W W^T + sigma^2 I): (n,)."""
        covariance = self.weight @ self.weight.T + torch.exp(2 * self.log_sigma) * torch.eye(
            len(self.bias), dtype=torch.float64
        )
        return torch.distributions.MultivariateNormal(self.bias, covariance).log_prob(self.x)

    def posterior(self) -> tuple[Tensor, Tensor]:
        """Mean (n, d) and covariance (d, d)."""
        d = self.weight.shape[1]
        variance = torch.exp(2 * self.log_sigma)
        covariance = torch.linalg.inv(torch.eye(d, dtype=torch.float64) + self.weight.T @ self.weight / variance)
        return (self.x - self.bias) @ self.weight @ covariance / variance, covariance

    def elbo(self, loc: Tensor, log_scale: Tensor) -> Tensor:
        """Exact, for q = N(loc, exp(log_scale)^2) with fields (n, d); differentiable, so its gradient is exact too."""
        variance, dim = torch.exp(2 * log_scale), self.x.shape[1]
        residual = self.x - loc @ self.weight.T - self.bias
        spread = (variance * self.weight.square().sum(0)).sum(-1)
        fit = (residual.square().sum(-1) + spread) / torch.exp(2 * self.log_sigma) / 2
        reconstruction = -fit - dim * (self.log_sigma + 0.5 * math.log(2 * math.pi))
        return reconstruction - 0.5 * (variance + loc.square() - 1 - 2 * log_scale).sum(-1)

    def iwae_of_two(self, loc: Tensor, log_scale: Tensor, nodes: int = 60) -> Tensor:
        """The exact two-sample bound for d = 1 by Gauss-Hermite quadrature over both samples: (n,), differentiable."""
        points, weights = (torch.as_tensor(a) for a in np.polynomial.hermite_e.hermegauss(nodes))
        weights = weights / weights.sum()
        z = loc + torch.exp(log_scale) * points[:, None, None]
        log_w = self.log_joint(z) - normal_log_density(z, loc, log_scale)
        pairs = torch.logaddexp(log_w[:, None], log_w[None]) - math.log(2)
        return torch.einsum("i,j,ijn->n", weights, weights, pairs)


class SigmoidBelief(NamedTuple):
    """z ~ Bernoulli(prior), x | z ~ Bernoulli(W z + b), all in logits: small enough to sum over every z."""

    prior: Tensor
    weight: Tensor
    bias: Tensor
    x: Tensor

    def log_joint(self, z: Tensor) -> Tensor:
        """z (s, n, d) -> (s, n)."""
        return bernoulli_log_density(z, self.prior) + bernoulli_log_density(self.x, z @ self.weight.T + self.bias)

    def support(self) -> Tensor:
        d = len(self.prior)
        values = torch.tensor(list(itertools.product((0.0, 1.0), repeat=d)), dtype=torch.float64)
        return values[:, None].expand(-1, len(self.x), d)

    def log_evidence(self) -> Tensor:
        return torch.logsumexp(self.log_joint(self.support()), 0)

    def bound(self, logits: Tensor, k: int) -> Tensor:
        """The exact k-sample bound for q = Bernoulli(logits), logits (n, d), over all k-tuples of values: (n,)."""
        z = self.support()
        log_q = bernoulli_log_density(z, logits)
        log_w = self.log_joint(z) - log_q
        total = torch.zeros(len(self.x), dtype=torch.float64)
        for choice in itertools.product(range(len(z)), repeat=k):
            index = list(choice)
            total = total + log_q[index].sum(0).exp() * (torch.logsumexp(log_w[index], 0) - math.log(k))
        return total


def normal_log_density(z: Tensor, loc: Tensor, log_scale: Tensor) -> Tensor:
    return torch.distributions.Normal(loc, torch.exp(log_scale), validate_args=False).log_prob(z).sum(-1)


def bernoulli_log_density(z: Tensor, logits: Tensor) -> Tensor:
    return torch.distributions.Bernoulli(logits=logits, validate_args=False).log_prob(z).sum(-1)


class TwoMoons(NamedTuple):
    """Two crescents in the plane, |z| about 2 and z_1 about -2 or 2, times e^offset per datum: offset (n,).

    log f(z) = -((|z| - 2) / 0.4)^2 / 2 + log sum_± exp(-((z_1 ± 2) / 0.6)^2 / 2) + offset (Rezende and Mohamed, 2015).
    """

    offset: Tensor

    def log_joint(self, z: Tensor) -> Tensor:
        """z (s, n, 2) -> (s, n)."""
        ring = -0.5 * ((torch.linalg.vector_norm(z, dim=-1) - 2) / 0.4).square()
        sides = torch.logaddexp(*(-0.5 * ((z[..., 0] + side) / 0.6).square() for side in (-2, 2)))
        return ring + sides + self.offset

    def log_evidence(self) -> Tensor:
        """The integral by the trapezium rule, exact to 1e-9 for a function that vanishes at the edges: (n,)."""
        x = torch.linspace(-6, 6, 481, dtype=torch.float64)
        z = torch.stack(torch.meshgrid(x, x, indexing="ij"), -1).reshape(-1, 1, 2)
        total = torch.logsumexp(TwoMoons(torch.zeros(1, dtype=torch.float64)).log_joint(z), 0)
        return total + 2 * torch.log(x[1] - x[0]) + self.offset


class Funnel(NamedTuple):
    """v ~ N(0, width^2) and 19 components N(0, e^v) each, z = (v, components), times e^offset: offset (n,)."""

    offset: Tensor
    width: float = 1.0

    def log_joint(self, z: Tensor) -> Tensor:
        """z (s, n, 20) -> (s, n)."""
        v = z[..., :1]
        neck = normal_log_density(v, torch.zeros_like(v), torch.log(torch.tensor(self.width, dtype=z.dtype)))
        return neck + normal_log_density(z[..., 1:], torch.zeros_like(v), v / 2) + self.offset

    def log_evidence(self) -> Tensor:
        return self.offset


class EightSchools(NamedTuple):
    """Rubin's (1981) eight schools, z = (mu, log tau, eta_1 … eta_8), one datum: theta = mu + tau eta.

    mu ~ N(0, 5^2), tau ~ half-Cauchy(0, 5), eta ~ N(0, I), y ~ N(theta, sigma^2).
    """

    y: Tensor = torch.tensor([28, 8, -3, 7, -1, 1, 18, 12], dtype=torch.float64)
    sigma: Tensor = torch.tensor([15, 10, 16, 11, 9, 11, 10, 18], dtype=torch.float64)

    def log_joint(self, z: Tensor) -> Tensor:
        """z (s, 1, 10) -> (s, 1), a density of log tau, with its Jacobian."""
        mu, log_tau, eta = z[..., :1], z[..., 1:2], z[..., 2:]
        five = torch.tensor(5.0, dtype=z.dtype)
        prior = normal_log_density(mu, torch.zeros_like(mu), torch.log(five)) + half_cauchy_of_log(log_tau[..., 0])
        prior = prior + normal_log_density(eta, torch.zeros_like(eta), torch.zeros((), dtype=z.dtype))
        return prior + normal_log_density(self.y, mu + torch.exp(log_tau) * eta, torch.log(self.sigma))

    def log_evidence(self) -> Tensor:
        """The trapezium rule over log tau of N(y; 0, diag(sigma^2 + tau^2) + 5^2 11^T): (1,)."""
        log_tau = torch.linspace(-40, 12, 4001, dtype=torch.float64)
        variance = self.sigma.square() + torch.exp(2 * log_tau)[:, None]
        covariance = torch.diag_embed(variance) + 25.0
        log_p = torch.distributions.MultivariateNormal(torch.zeros(8, dtype=torch.float64), covariance).log_prob(self.y)
        total = torch.logsumexp(log_p + half_cauchy_of_log(log_tau), 0) + torch.log(log_tau[1] - log_tau[0])
        return total[None]


def half_cauchy_of_log(log_tau: Tensor) -> Tensor:
    """The log density of log tau for tau ~ half-Cauchy(0, 5)."""
    return log_tau + math.log(2 / (5 * math.pi)) - torch.log1p(torch.exp(2 * log_tau) / 25)

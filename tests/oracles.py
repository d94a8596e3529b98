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

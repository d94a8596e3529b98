"""Evidence of constrained z: priors on half-lines, intervals and simplices, and data that push out of them.

The truth is adaptive quadrature of prior and likelihood over the support, or the conjugate family's closed form.
"""

import math
from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import pytest
import torch
from scipy import integrate, special, stats
from torch import Tensor

from jensen import laws
from jensen.core import keys
from jensen.core.contracts import Distribution
from jensen.core.distributions import Beta, ContinuousBernoulli, Dirichlet, Gamma, Given, Hierarchical
from jensen.estimators.evidence import annealed_importance, bdmc, importance, linear, smc
from tests.estimators import normalisers as gates
from tests.estimators.normalisers import F64, KEY


class Problem(NamedTuple):
    prior: Distribution  # one row per datum
    log_likelihood: Callable[[Tensor, Tensor], Tensor]  # x (n, d), z (s, n, d) -> (s, n)
    x: Tensor
    log_evidence: Tensor  # (n,)

    def log_joint(self, z: Tensor) -> Tensor:
        return self.prior.log_prob(z) + self.log_likelihood(self.x, z)


def of(values: list) -> Tensor:
    return torch.tensor(values, dtype=F64)


def normal(scale: float) -> Callable[[Tensor, Tensor], Tensor]:
    return lambda x, z: (-0.5 * ((x - z) / scale).square() - math.log(scale) - 0.5 * math.log(2 * math.pi)).sum(-1)


def counts(x: Tensor, z: Tensor) -> Tensor:
    return (x * z.log()).sum(-1)


def on_a_line(kind: Callable[..., Distribution], fields: tuple, density: Callable, ends: tuple, scale: float, x: list):
    """One latent number per datum, which x is a normal measurement of."""
    truths = [integrate.quad(lambda z, x=x: density(z) * stats.norm.pdf(x, z, scale), *ends, epsabs=0)[0] for x in x]
    rows = [torch.full((len(x), 1), float(field), dtype=F64) for field in fields]
    return Problem(kind(*rows), normal(scale), of(x)[:, None], of(truths).log())


def tilted(z: float, a: float) -> float:
    return a * math.exp(a * z) / math.expm1(a)


def of_counts(a: list, x: list) -> Problem:
    """A Dirichlet with multinomial counts, without their coefficient: B(a + x) / B(a)."""
    log_beta = lambda a: special.gammaln(a).sum() - special.gammaln(a.sum())  # noqa: E731
    truths = [log_beta(of(a).numpy() + of(each).numpy()) - log_beta(of(a).numpy()) for each in x]
    return Problem(Dirichlet(of(a).expand(len(x), -1)), counts, of(x), of(truths))


def of_points(a: list, scale: float, x: list) -> Problem:
    """A Dirichlet of three with a normal measurement of it, which may be off the simplex."""

    def joint(second, first, x):
        z = [first, second, 1 - first - second]
        return stats.dirichlet(a).pdf(z) * stats.norm.pdf(x, z, scale).prod()

    truths = [integrate.dblquad(joint, 0, 1, 0, lambda first: 1 - first, (each,), epsabs=1e-9)[0] for each in x]
    return Problem(Dirichlet(of(a).expand(len(x), -1)), normal(scale), of(x), of(truths).log())


PROBLEMS = {
    "exponential": on_a_line(Gamma, (1, 1), stats.expon.pdf, (0, 12), 1.0, [-1.0, -3.0, 2.0]),
    "gamma": on_a_line(Gamma, (2.5, 1.5), stats.gamma(2.5, scale=1 / 1.5).pdf, (0, 12), 0.5, [-1.0, 4.0]),
    "uniform": on_a_line(Beta, (1, 1), stats.uniform.pdf, (0, 1), 0.3, [-0.5, 0.5, 1.4]),
    "beta": on_a_line(Beta, (0.5, 2), stats.beta(0.5, 2).pdf, (0, 1), 0.3, [-0.2, 1.2]),
    "continuous Bernoulli": on_a_line(ContinuousBernoulli, (3,), partial(tilted, a=3.0), (0, 1), 0.2, [-0.2, 1.1]),
    "counts": of_counts([1.0, 2.0, 3.0], [[3.0, 1.0, 2.0], [0.0, 20.0, 0.0]]),
    "points": of_points([1.0, 2.0, 3.0], 0.2, [[1.2, -0.2, 0.1], [0.3, 0.3, 0.4]]),
}


def inside(problem: Problem, z: Tensor) -> bool:
    return bool(problem.prior.bijection().contains(z).all())


@pytest.mark.parametrize("name", PROBLEMS)
def test_importance_annealing_and_smc_agree_with_quadrature(name):
    problem = PROBLEMS[name]
    seen = []

    def log_joint(z):
        seen.append(inside(problem, z.detach()))
        return problem.log_joint(z)

    estimates = {
        "importance": importance(problem.log_joint, problem.prior, KEY, 10_000),
        "annealed": annealed_importance(log_joint, problem.prior, KEY, 200, linear(12), chunk=200),
        "smc": smc(log_joint, problem.prior, KEY, 400),
    }
    for estimate in estimates.values():
        gates.near(estimate, problem.log_evidence)
        assert estimate.standard_error.isfinite().double().mean() >= 0.5, estimate.verdict()
        assert (estimate.standard_error[estimate.standard_error.isfinite()] < 0.2).all()
    assert inside(problem, estimates["smc"].z)
    assert all(seen), "a move left the support"


@pytest.mark.parametrize("name", ["exponential", "continuous Bernoulli", "points"])
def test_bounds_from_both_sides_hold(name):
    """Of simulated pairs, whose evidence quadrature gives too: lower <= log p(x) <= upper on average."""
    problem, n = PROBLEMS[name], 20
    row = [field[:1].expand(n, -1) for field in problem.prior]
    prior = type(problem.prior)(*row)
    z = prior.sample(prior.noise(KEY, 1))
    scale = {"exponential": 1.0, "continuous Bernoulli": 0.2, "points": 0.2}[name]
    x = z[0] + scale * keys.normal(keys.fold_in(KEY, 1), tuple(z[0].shape), F64)
    simulated = Problem(prior, problem.log_likelihood, x, torch.zeros(n))
    found = bdmc(simulated.log_joint, prior, z, keys.fold_in(KEY, 2), 32, linear(16))
    truth = importance(simulated.log_joint, prior, keys.fold_in(KEY, 3), 20_000)
    laws.mean_is_at_most((found.lower - truth.log_p)[:, None], torch.tensor([0.01], dtype=F64))
    laws.mean_is_at_most((truth.log_p - found.upper)[:, None], torch.tensor([0.01], dtype=F64))
    assert found.gap.mean() < 0.2


def test_two_layers_of_a_constrained_family():
    """z1 from Exp(1), z2 from Exp(z1 / 2 + 1), x = z1 + z2 + noise: by two-dimensional quadrature."""

    def joint(second, first):
        rate = first / 2 + 1
        return math.exp(-first) * rate * math.exp(-rate * second) * stats.norm.pdf(-0.5, first + second, 0.7)

    truth = math.log(integrate.dblquad(joint, 0, 20, 0, 20)[0])
    ones = torch.ones(1, 1, dtype=F64)
    given = lambda params, z1: Gamma(torch.ones_like(z1), z1 / 2 + 1)  # noqa: E731
    prior = Hierarchical.of((Gamma(ones, ones), 1), (Given({}, given), 1))
    log_joint = lambda z: prior.log_prob(z) + normal(0.7)(of([[-0.5]]), z.sum(-1, keepdim=True))  # noqa: E731
    for estimate in (smc(log_joint, prior, KEY, 200), annealed_importance(log_joint, prior, KEY, 100, linear(12))):
        gates.near(estimate, of([truth]))
        assert (estimate.standard_error < 0.2).all()

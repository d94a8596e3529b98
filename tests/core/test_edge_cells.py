"""Draws rounded to the edge of the support: their scores have mean 0, and score-function gradients are the exact ones.

In float32, of concentrations near 0.03, where 7 % of the draws are the type's least or largest number.
"""

import math

import pytest
import torch
from scipy import stats
from torch.func import grad, vmap

from jensen.core import keys
from jensen.core.distributions import Beta, ChiSquared, Dirichlet, Gamma, InverseGamma, LogNormal, Pareto, StudentT

KEY = keys.key(38)
DRAWS = 50_000
RANGE = torch.finfo(torch.float32)
ONE = torch.ones(1, 1)
SMALL = 0.03 * ONE
EDGES = {
    "Gamma": Gamma(SMALL, ONE),
    "ChiSquared": ChiSquared(2 * SMALL),
    "Beta": Beta(1.2 * SMALL, 0.8 * SMALL),
    "Dirichlet": Dirichlet(torch.tensor([[0.03, 0.02, 1.0]])),
    "InverseGamma": InverseGamma(SMALL, ONE),
    "Pareto": Pareto(ONE, SMALL),
    "StudentT": StudentT(SMALL, ONE, ONE),
    "LogNormal": LogNormal(ONE, 5 * ONE),
}
QUICK = ("Gamma", "Beta", "LogNormal")
REST = [name for name in EDGES if name not in QUICK]  # in `make laws`
BIASED = {"Pareto": "scale"}  # the support moves with it


def scores(log_prob, q, z):
    """The gradient of log_prob(q, z) in each field by its name, (s, elements) each."""
    slopes = vmap(grad(lambda q, z: log_prob(q, z[None]).sum()), in_dims=(None, 0))(q, z)
    return {name: t.flatten(1) for name, t in slopes._asdict().items()}


def errors_off(draws, exact):
    """How many standard errors the mean is off; 7e-6 of right ones are 4.5 off."""
    return ((draws.double().mean(0) - exact).abs() * len(draws) ** 0.5 / draws.double().std(0)).max().item()


def own(q, z):
    return q.log_prob(z)


def at_the_number(q, z):
    """The density at the rounded number, which in float64 is no edge."""
    return type(q)(*(t.double() for t in q)).log_prob(z.double())


@pytest.mark.parametrize("name", [*QUICK, *(pytest.param(name, marks=pytest.mark.slow) for name in REST)])
def test_the_score_has_mean_zero(name):
    q = EDGES[name]
    z = q.sample(q.noise(KEY, DRAWS))
    edge = (z.abs() <= RANGE.tiny) | (z.abs() == RANGE.max) | (z == 1 - RANGE.eps / 2)
    assert edge.float().mean() > 0.05, "too few draws at the edge: nothing is tried"
    for field, draws in scores(own, q, z).items():
        if field != BIASED.get(name):
            assert errors_off(draws, 0.0) < 4.5, field
    assert max(errors_off(draws, 0.0) for draws in scores(at_the_number, q, z).values()) > 10


def test_score_function_gradients_are_exact():
    """Of E e^-z = (b / (1 + b))^a under gammas and E (1 + z) = 1 + a / (a + b) under betas."""
    for name, value, mean in (
        ("Gamma", lambda z: torch.exp(-z), lambda q: (q.rate / (1 + q.rate)) ** q.concentration),
        ("Beta", lambda z: 1 + z, lambda q: 1 + q.mean()),
    ):
        q = EDGES[name]
        z = q.sample(q.noise(KEY, DRAWS))
        exact = grad(lambda q, mean=mean: mean(q).sum())(q)._asdict()
        off, plain = (
            {f: errors_off(value(z).flatten(1) * t, exact[f].item()) for f, t in scores(log_prob, q, z).items()}
            for log_prob in (own, at_the_number)
        )
        assert max(off.values()) < 4.5, off
        assert max(plain.values()) > 10, plain


def test_densities_at_the_edge_are_those_of_the_cells():
    """log of scipy's mass beyond the number, over its distance to the edge."""
    tiny, most, last = RANGE.tiny, RANGE.max, RANGE.eps / 2
    wide = LogNormal(0 * ONE, math.log(50) * ONE)
    for mass, distance, q, z in (
        (stats.gamma(0.03).cdf(tiny), tiny, Gamma(SMALL, ONE), tiny),
        (stats.beta(0.03, 2).cdf(tiny), tiny, Beta(SMALL, 2 * ONE), tiny),
        (stats.beta(0.03, 2).cdf(1.5 * last), 1.5 * last, Beta(2 * ONE, SMALL), 1 - last),
        (stats.invgamma(0.03).sf(most), most, InverseGamma(SMALL, ONE), most),
        (stats.pareto(0.03).sf(most), most, Pareto(ONE, SMALL), most),
        (stats.t(0.03).sf(most), most, StudentT(SMALL, 0 * ONE, 0 * ONE), -most),
        (stats.lognorm(50.0).sf(most), most, wide, most),
        (stats.lognorm(50.0).cdf(tiny), tiny, wide, tiny),
    ):
        exact = math.log(mass) - math.log(distance)
        assert q.log_prob(z * ONE).item() == pytest.approx(exact, rel=1e-6), q

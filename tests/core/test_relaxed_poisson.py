"""The Poisson relaxed by its arrivals: exact counts in the limit, and its mean and gradient in closed form."""

import math

import pytest
import torch
from scipy import stats
from torch.func import grad

from jensen.core import keys
from jensen.core.distributions import Poisson
from jensen.laws import mean_is_exact

KEY = keys.key(40)
Q = Poisson(torch.tensor([[0.3, 2.0]], dtype=torch.float64))
MOST = 20  # arrivals, of which 1e-14 of the draws have more before 1


def test_arrivals_before_1_are_counted_exactly():
    """By a chi-squared test of 20,000 counts; the relaxed ones are these at a low temperature."""
    t = Q.arrivals(Q.arrival_noise(KEY, 5_000, MOST))
    counts = (t < 1).double().sum(-1)
    assert ((Q.relaxed(t, 1e-6) - counts).abs() < 0.02).float().mean() > 0.999
    for i, rate in enumerate(Q.rate[0].tolist()):
        values = range(6)
        found = [(counts[:, 0, i] == z).sum().item() for z in values]
        found.append(5_000 - sum(found))
        masses = [stats.poisson(rate).pmf(z) for z in values]
        masses.append(1 - sum(masses))
        assert stats.chisquare(found, [5_000 * p for p in masses]).pvalue > 1e-4


@pytest.mark.parametrize("temperature", [0.1, 1.0])
def test_the_mean_and_its_gradient_are_the_integrals_over_the_process(temperature):
    """rate times the integral of sigmoid((1 - t) / T) over t > 0, which is T softplus(1 / T)."""
    slope = temperature * math.log1p(math.exp(1 / temperature))
    most = MOST if temperature < 1 else 40  # later arrivals matter at a high temperature

    def draw(key, s):
        u = Q.arrival_noise(key, s, most)

        def one(rate, u):
            q = Poisson(rate)
            return q.relaxed(q.arrivals(u[None]), temperature).sum()

        paths = torch.func.vmap(grad(one), in_dims=(None, 0))(Q.rate, u)
        return torch.stack([Q.relaxed(Q.arrivals(u), temperature), Q.rate * paths], -1)

    mean_is_exact(draw, (slope * Q.rate)[..., None].expand(1, 2, 2), KEY)


def test_noise_is_checked():
    with pytest.raises(ValueError, match="expected most, a whole number >= 1, got 0"):
        Q.arrival_noise(KEY, 3, 0)
    with pytest.raises(ValueError, match=r"expected a value noise \(\.\.\., 1, 2, 5\)"):
        Q.arrivals(torch.full((4, 2, 1, 5), 0.5))

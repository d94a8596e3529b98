"""Regions of highest density and what is measured in them, of normals whose probabilities are known."""

import math

import pytest
import torch
from scipy import stats

from jensen.core import keys
from jensen.core.distributions import DiagNormal
from jensen.core.models import bayes
from jensen.core.trees import Static
from jensen.estimators.inference import region, sequential
from jensen.estimators.inference.amortised import ConditionalDensity, Scaling
from jensen.estimators.inference.npe import Learnt
from jensen.estimators.inference.region import Region, Restricted, restricted
from jensen.estimators.inference.simulator import Simulator
from jensen.estimators.inference.summaries import flattened

KEY, SD, NOISE = keys.key(2), 0.3, 0.5
X = torch.zeros(1, 2)
PRIOR = Simulator(
    {"z": bayes.real(2)},
    lambda key, s: {"z": keys.normal(key, (s, 1, 2))},
    lambda key, theta: theta["z"] + NOISE * keys.normal(key, (2, 1))[:, 0],
)


def normal(sd, loc=0.0):
    """q(z | x) = N(loc, sd^2 I) for every x."""
    scaling = Scaling(torch.full((2,), loc), torch.full((2,), sd)), Scaling(torch.zeros(2), torch.ones(2))
    return ConditionalDensity({"flows": (), "summary": {}}, Static(flattened), Static((2,)), *scaling)


def radius(least, sd=SD):
    """|z| where the density of N(0, sd^2 I) in two dimensions is `least` nats."""
    return math.sqrt(-2 * sd**2 * (least.item() + math.log(2 * math.pi * sd**2)))


@pytest.mark.parametrize("epsilon", [0.3, 0.01, 1e-3])
def test_a_region_leaves_out_epsilon_of_q(epsilon):
    """What the m-th smallest of k draws leaves out is Beta(m, k + 1 - m)."""
    found = Region.everywhere(X).narrowed(KEY, normal(SD), epsilon)
    k = max(region.LEAST, math.ceil(region.OUTSIDE / epsilon))
    m = round(epsilon * (k + 1))
    outside = stats.chi2.sf((radius(found.least[0]) / SD) ** 2, 2)
    assert 1e-4 < stats.beta(m, k + 1 - m).cdf(outside) < 1 - 1e-4
    edge = radius(found.least[0])
    inside = found.contains(torch.tensor([[0.0, 0.0], [0.0, 0.999 * edge], [1.001 * edge, 0.0]]))
    assert inside.tolist() == [True, True, False]


def test_a_part_of_a_region_leaves_out_epsilon_of_what_q_has_within_it():
    wide = Region.everywhere(X).narrowed(KEY, normal(SD), 0.3)
    narrow = wide.narrowed(keys.key(3), normal(2 * SD), 0.3)
    outer, inner = radius(wide.least[0]), radius(narrow.least[1], 2 * SD)
    kept = stats.chi2.cdf((inner / (2 * SD)) ** 2, 2) / stats.chi2.cdf((outer / (2 * SD)) ** 2, 2)
    k = (stats.chi2.cdf((outer / (2 * SD)) ** 2, 2)) * region.LEAST  # draws within, nearly
    assert inner < outer
    assert abs(kept - 0.7) < 4.5 * math.sqrt(0.21 / k)


def test_the_prior_is_drawn_in_the_region_and_its_probability_known():
    found = Region.everywhere(X).narrowed(KEY, normal(SD), 0.01)
    drawn = restricted(KEY, PRIOR, found, 900, 10**5)
    edge = radius(found.least[0])
    exact = stats.chi2.cdf(edge**2, 2)
    assert abs(drawn.acceptance - exact) < 4.5 * drawn.standard_error
    square = drawn.z.square().sum(1)
    assert drawn.z.shape == (900, 2)
    assert stats.kstest(square.numpy(), lambda v: stats.chi2.cdf(v, 2) / exact).pvalue > 1e-3
    draws, _ = found.draws(KEY, normal(SD), 900)  # planted: draws of q in place of the prior's
    assert stats.kstest(draws.square().sum(1).numpy(), lambda v: stats.chi2.cdf(v, 2) / exact).pvalue < 1e-9
    with pytest.raises(ValueError, match=r"expected 900 draws of the prior in the region among 2000, got \d+: raise"):
        restricted(KEY, PRIOR, found, 900, 2000)


def test_leakage_and_movement_are_those_of_normals():
    found = Region.everywhere(X).narrowed(KEY, normal(SD), 0.01)
    edge, drawn = radius(found.least[0]), Restricted(X, torch.ones(()), torch.zeros(()))
    round = sequential.measured(KEY, normal(2 * SD), normal(SD), found, drawn, 9)
    outside = stats.chi2.sf((edge / (2 * SD)) ** 2, 2)
    error = math.sqrt(outside * (1 - outside) / sequential.DRAWS)
    assert abs(round.leakage - outside) < 4.5 * error
    kl = 4 - 1 - 2 * math.log(2)  # of two dimensions
    assert abs(round.moved - kl) < 4.5 * 3 / math.sqrt(sequential.DRAWS)
    assert sequential.measured(KEY, normal(SD), None, found, drawn, 9).moved == torch.inf


class Exact:
    """The posterior of z ~ N(0, I) given x ~ N(z, NOISE^2 I)."""

    def __init__(self, width=1.0):
        self.width = width

    def given(self, x):
        variance = NOISE**2 / (1 + NOISE**2)
        log_scale = torch.full_like(x, math.log(self.width * math.sqrt(variance)))
        return DiagNormal(x / (1 + NOISE**2), log_scale)


def test_exact_posteriors_are_calibrated_in_a_region_and_narrow_or_unrestricted_ones_are_not():
    found = Region.everywhere(X).narrowed(KEY, normal(SD, 0.8), 0.1)
    drawn = restricted(KEY, PRIOR, found, 600, 10**5)
    unseen = PRIOR.at(keys.key(5), drawn.z)
    learnt = Learnt(Exact(), unseen, unseen, torch.zeros(1, 600), True)
    right = sequential.calibrated(KEY, learnt, found)
    assert right.p_uniform.min() > 1e-3
    assert right.verdict().startswith("calibrated")
    narrow = sequential.calibrated(KEY, learnt._replace(q=Exact(0.5)), found)
    assert narrow.p_uniform.max() < 1e-3
    assert narrow.spread.min() > 1
    everywhere = sequential.calibrated(KEY, learnt, Region.everywhere(X))  # planted: draws outside count
    assert everywhere.p_uniform.max() < 1e-3

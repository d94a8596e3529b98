"""Ranks and p-values of parameters that equal some of their draws, as discrete ones do."""

import math

import pytest
import torch

from jensen.core import keys
from jensen.estimators.diagnostics import calibration, coverage, ranks, simulation_based_calibration

KEY = keys.key(23)


def test_each_place_among_ties_is_as_probable():
    """Of 3 draws one is below and one equals the truth: places 1 and 2, each 1/2 to 4 standard errors; no others."""
    draws = torch.tensor([1.0, 2.0, 3.0])[:, None, None].expand(3, 2000, 2)
    found = ranks(torch.full((2000, 2), 2.0), draws, KEY)
    assert set(found.flatten().tolist()) == {1, 2}
    assert ((found == 1).double().mean(0) - 0.5).abs().max() < 4 * math.sqrt(0.25 / 2000)
    both = (found[:, 0] == found[:, 1]).double().mean()  # parameters are placed independently
    assert abs(both - 0.5) < 4 * math.sqrt(0.25 / 2000)


def test_places_among_ties_do_not_depend_on_the_other_data():
    theta, draws = torch.zeros(7, 2), torch.zeros(9, 7, 2)
    whole = ranks(theta, draws, KEY)
    assert torch.equal(ranks(theta[4:], draws[:, 4:], keys.at(KEY, datum=4)), whole[4:])
    assert not torch.equal(ranks(theta, draws, keys.fold_in(KEY, 1)), whole)


def least_of_the_type(u):
    """Beta(0.01, 1) by its quantile u^100, which 42 % of float32 draws tie at."""
    return (u.float() ** 100).clamp_min(torch.finfo(torch.float32).tiny)


TIED = {  # quantiles of distributions with ties
    "Beta(0.01, 1)": least_of_the_type,
    "Bernoulli(1/2)": lambda u: (u < 0.5).float(),
    "Bernoulli(0.03)": lambda u: (u < 0.03).float(),
    "uniform on 0 … 9": lambda u: (10 * u).floor(),
    "half normal at 0": lambda u: torch.special.ndtri(u).clamp_min(0),
    "one value": torch.zeros_like,
}


@pytest.mark.parametrize("quantile", TIED.values(), ids=TIED)
def test_p_values_with_ties_are_uniform(quantile):
    """Prior = posterior: of 300 p-values the shares below levels are within 4 standard errors (6e-5 by chance each)."""
    n, d, s = 200, 300, 39
    truth, draw, ties = keys.split(keys.fold_in(KEY, 2), 3)
    theta = quantile(keys.uniform(truth, (n, d), torch.float64))
    draws = quantile(keys.uniform(draw, (s, n, d), torch.float64))
    found = calibration(ranks(theta, draws, ties), s)
    for p in (found.p_uniform, found.p_symmetric):
        for level in (0.01, 0.05, 0.2):
            share, error = (p < level).double().mean(), math.sqrt(level * (1 - level) / d)
            assert share < level + 4 * error
            assert share > level - 4 * error
    cover = coverage(found.ranks, s, (0.5, 0.9))
    assert ((cover.covered.mean(1) - cover.nominal).abs() < 4 * cover.error[:, 0] / math.sqrt(d)).all()


@pytest.mark.parametrize(("prior", "posterior"), [(0.5, 0.7), (0.5, 0.35), (0.1, 0.2)])
def test_wrong_posteriors_of_discrete_parameters_are_found(prior, posterior):
    def simulate(key):
        return (keys.uniform(key, (1,)) < prior).float(), torch.zeros(())

    def draws(key, x):
        return (keys.uniform(key, (99, 1, 1)) < posterior).float()[:, 0]

    found = simulation_based_calibration(simulate, draws, keys.split(KEY, 1000))
    assert found.verdict().startswith("not calibrated: ranks are not uniform in parameters 0 of 1")

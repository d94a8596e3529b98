"""Weights that are equal at the cutoff of their tail, as a discrete q's are, and what to do about unreliable ones."""

import math

import pytest
import torch

from jensen.core import keys
from jensen.estimators.diagnostics import psis, reliability
from jensen.estimators.evidence import fit_pareto, pareto_quantile, smooth_tail

KEY = keys.key(28)


def tied(key=KEY, above=20, k=1.2, dtype=torch.float64):
    """4,000 weights, all 1 but for a Pareto tail; the 190 that the rule takes for the tail end among the equal."""
    log_w = torch.zeros(4000, dtype=torch.float64)
    log_w[:above] = -k * torch.log1p(-keys.uniform(key, (above,), torch.float64))
    return log_w[:, None].to(dtype)


def test_the_fit_is_of_the_weights_above_the_cutoff_alone():
    excess = torch.expm1(tied()[:20]).sort(0, descending=True).values
    expected, _ = fit_pareto(excess)
    torch.testing.assert_close(psis(tied()).k_hat, expected, rtol=1e-3, atol=0)  # on another grid
    many = torch.cat([psis(tied(k)).k_hat for k in keys.split(KEY, 100)])
    assert abs(many.mean() - (20 * 1.2 + 5) / 30) < 4 * many.std() / 10 + 0.05  # drawn towards 1/2 as by ten; bias
    assert psis(tied(k=3.0)).verdict().startswith("weights are unreliable: k-hat is ")


def test_weights_equal_to_rounding_are_equal():
    """Sums in another order differ by some units of the last place: they are no tail."""
    exact, log_w = psis(tied()).k_hat, tied(dtype=torch.float32) + 700
    noise = (1.5 * keys.normal(KEY, log_w.shape)).round()
    found = psis(log_w + noise * 700 * torch.finfo(torch.float32).eps)
    torch.testing.assert_close(found.k_hat.double(), exact, rtol=5e-3, atol=0)


def test_smoothing_leaves_tied_weights_as_they_are():
    log_w = tied()
    found = psis(log_w).log_weights
    assert (found[20:] == found[20]).all()
    largest = log_w.topk(191, 0).values
    k, smoothed, _ = smooth_tail(largest)
    assert torch.equal(smoothed[20:], (largest - largest[0])[20:190])
    p = (torch.arange(19, -1, -1, dtype=torch.float64)[:, None] + 0.5) / 20
    sigma = fit_pareto(torch.expm1(largest[:20]))[1]
    expected = (torch.log1p(pareto_quantile(p, k, sigma)) - largest[0]).clamp_max(0)
    torch.testing.assert_close(smoothed[:20], expected, rtol=0, atol=1e-3)


def test_a_few_weights_above_many_equal_ones_have_no_tail():
    assert psis(tied(above=4)).k_hat == math.inf
    assert psis(tied(above=0)).k_hat == -math.inf


@pytest.mark.parametrize(("k_hat", "s", "advice"), [(0.6, 100, 320), (0.62, 400, 430), (0.7, 1000, 2200)])
def test_the_draws_asked_for_are_enough_and_more_than_were_drawn(k_hat, s, advice):
    assert f"draw {advice} samples or take" in reliability(torch.tensor([k_hat]), s)
    assert advice >= 10 ** (1 / (1 - k_hat))
    assert reliability(torch.tensor([k_hat]), advice).startswith("weights are reliable")


@pytest.mark.parametrize("k_hat", [0.75, 0.95, 1.2])
def test_no_number_of_draws_is_asked_for_in_vain(k_hat):
    assert reliability(torch.tensor([k_hat]), 1000).endswith("more draws will not mend it: take a q with wider tails")


def test_where_no_tail_can_be_fitted_the_verdict_says_so():
    text = psis(tied(above=3)).verdict()
    assert text.endswith("as most weights are 0 or tied or one dwarfs the rest: look at their ess")


def test_few_draws_are_too_few_and_not_unreliable():
    log_w = keys.normal(KEY, (21, 2))
    assert psis(log_w[:20]).verdict().startswith("no verdict: 20 draws are too few to judge")
    assert not psis(log_w).verdict().startswith("no verdict")


def test_weights_of_a_discrete_q_want_no_wider_tails():
    text = psis(tied(k=3.0)).verdict(discrete=True)
    assert text.endswith("weights of a discrete q are bounded: k-hat describes only what these 4000 draws saw")
    assert reliability(torch.tensor([0.1]), 100, discrete=True) == reliability(torch.tensor([0.1]), 100)


@pytest.mark.parametrize("wrong", [math.nan, math.inf])
@pytest.mark.parametrize("s", [10, 100])
def test_broken_weights_are_named(wrong, s):
    log_w = keys.normal(KEY, (s, 3))
    log_w[3, 1] = wrong
    assert psis(log_w).verdict().startswith("no verdict: the weights of data 1 of 3 give NaN or infinite numbers")

"""Pareto-smoothed weights against scipy's distribution and tails whose index is known in closed form."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from scipy import stats

from jensen.core import keys
from jensen.core.distributions import DiagNormal
from jensen.estimators.diagnostics import ess, k_hat_threshold, psis, reliability
from jensen.estimators.evidence import fit_pareto, from_log_weights, pareto_quantile
from jensen.laws import strategies
from tests.estimators.test_pathwise import model

KEY = keys.key(21)


def exponential_weights(rate, s=4000, n=50):
    """p = Exp(1), q = Exp(rate): P(w > t) is proportional to t^(-rate / (rate - 1)), so that k = 1 - 1 / rate."""
    z = -torch.log1p(-keys.uniform(KEY, (s, n), torch.float64)) / rate
    return (rate - 1) * z - math.log(rate)


@pytest.mark.parametrize("k", [-0.5, -1e-13, 0.0, 0.3, 0.7, 1.5])
def test_quantiles_are_scipys(k):
    p = torch.linspace(0.001, 0.999, 50, dtype=torch.float64)
    expected = torch.as_tensor(stats.genpareto.ppf(p.numpy(), c=k, scale=2.5))
    found = pareto_quantile(p, torch.tensor(k, dtype=torch.float64), torch.tensor(2.5, dtype=torch.float64))
    torch.testing.assert_close(found, expected, rtol=1e-9, atol=0)


@pytest.mark.parametrize("k", [-0.3, 0.0, 0.2, 0.5, 0.9])
@pytest.mark.parametrize("scale", [1e-8, 3.0])
def test_the_fit_recovers_a_pareto_from_its_quantiles(k, scale):
    m = 400
    p = (np.arange(m) + 0.5) / m
    x = torch.as_tensor(stats.genpareto.ppf(p, c=k, scale=scale)).flip(0)[:, None]
    k_hat, sigma = fit_pareto(x)
    assert abs(k_hat.item() - (k * m + 5) / (m + 10)) < 0.02  # drawn towards 1/2 as by ten observations
    assert abs(sigma.item() / scale - 1) < 0.02


def test_the_fit_is_nearly_as_likely_as_the_most_likely_one():
    """Within 1 nat of scipy's maximum-likelihood fit, for samples of 200."""
    u = keys.uniform(KEY, (200, 8), torch.float64)
    for k, column in zip(np.linspace(-0.2, 1, 8), u.T, strict=True):
        x = torch.as_tensor(stats.genpareto.ppf(column.numpy(), c=k)).sort(descending=True).values
        k_hat, sigma = (t.item() for t in fit_pareto(x[:, None]))
        shape, _, scale = stats.genpareto.fit(x.numpy(), floc=0)
        most = stats.genpareto.logpdf(x.numpy(), c=shape, scale=scale).sum()
        assert stats.genpareto.logpdf(x.numpy(), c=k_hat, scale=sigma).sum() > most - 1


@pytest.mark.parametrize("rate", [1.25, 2.0, 4.0, 10.0])
def test_k_hat_of_exponentials_is_the_known_tail(rate):
    """The mean of 50 is within 4 standard errors (failing by chance 6e-5) of k drawn towards 1/2."""
    found = psis(exponential_weights(rate)).k_hat
    m = math.ceil(3 * math.sqrt(4000))
    expected = ((1 - 1 / rate) * m + 5) / (m + 10)
    assert abs(found.mean() - expected) < 4 * found.std() / 50**0.5 + 0.01  # and the fit's own bias


def test_a_good_proposal_passes_and_a_too_narrow_one_does_not():
    """Normals 10 % too narrow or wide have k = 1 - 0.82 at the most, 3 times too narrow k = 0.89, both in the limit."""
    oracle = model(n=20, d=1)
    mean, covariance = oracle.posterior()
    exact = covariance[0].sqrt().log().expand(20, 1)
    for shift, good in ((-0.1, True), (0.1, True), (-math.log(3), False)):
        q = DiagNormal(mean, exact + shift)
        z = q.sample(q.noise(KEY, 4000))
        found = psis(oracle.log_joint(z) - q.log_prob(z))
        if good:
            assert (found.k_hat < 0.5).all()
            assert found.verdict().startswith("weights are reliable")
        else:
            assert found.k_hat.median() > 0.7
            assert found.verdict().startswith("weights are unreliable for")
    narrow = psis(exponential_weights(20.0, n=200))  # k = 0.95, an exact tail
    assert (narrow.k_hat > 0.7).double().mean() > 0.9


def test_an_exact_q_has_no_tail():
    for dtype in (torch.float32, torch.float64):
        log_w = -1234.5 + 1e-6 * keys.normal(KEY, (1000, 3)).to(dtype) * (dtype == torch.float32)
        found = psis(log_w.to(dtype))
        assert (found.k_hat == -math.inf).all()
        torch.testing.assert_close(found.ess, torch.full((3,), 1000.0, dtype=dtype), rtol=1e-4, atol=0)
        assert found.verdict().startswith("weights are reliable: k-hat is at most -inf")


def test_smoothing_replaces_the_tail_alone_keeps_its_order_and_invents_no_larger_weight():
    log_w = exponential_weights(4.0)
    found = psis(log_w)
    raw, order = log_w.sort(0)
    smoothed = found.log_weights.gather(0, order)
    tail = math.ceil(3 * math.sqrt(4000))
    shift = (smoothed - raw)[0]
    torch.testing.assert_close((smoothed - raw)[:-tail], shift.expand(4000 - tail, -1))
    assert (smoothed.diff(dim=0) >= -1e-12).all()
    assert (smoothed[-1] - shift <= raw[-1] + 1e-12).all()
    assert (smoothed[-tail:] - raw[-tail:] - shift).abs().max() > 0.05
    torch.testing.assert_close(found.log_weights.exp().sum(0), torch.ones(50, dtype=torch.float64))
    torch.testing.assert_close(found.ess, 1 / found.log_weights.exp().square().sum(0))


def test_smoothed_tails_are_scipys_quantiles_of_the_fit():
    log_w = exponential_weights(3.0, s=1000, n=1)
    w = np.sort(np.exp(log_w[:, 0].numpy()))
    tail = math.ceil(3 * math.sqrt(1000))
    excess = w[-tail:] - w[-tail - 1]
    k, sigma = (t.item() for t in fit_pareto(torch.as_tensor(excess[::-1].copy())[:, None]))
    expected = w[-tail - 1] + stats.genpareto.ppf((np.arange(tail) + 0.5) / tail, c=k, scale=sigma)
    w[-tail:] = np.minimum(expected, w[-1])
    found = psis(log_w)
    np.testing.assert_allclose(found.log_weights.exp()[:, 0].sort().values, w / w.sum(), rtol=1e-8)
    np.testing.assert_allclose(found.k_hat.item(), k, rtol=1e-8)


def test_smoothing_brings_the_evidence_closer_where_weights_are_heavy():
    """k = 0.75: the mean of w is 1; the smoothed mean's error over 200 repetitions is smaller."""
    log_w = exponential_weights(4.0, s=500, n=200)
    found = psis(log_w)
    smallest = log_w.argmin(0, keepdim=True)  # never smoothed: raw over normalised is the sum
    smoothed_mean = torch.exp((log_w - found.log_weights).gather(0, smallest)[0]) / 500
    raw_error, error = ((mean - 1).square().mean().sqrt() for mean in (log_w.exp().mean(0), smoothed_mean))
    assert error < raw_error


def test_extreme_weights():
    columns = {
        "no support": (torch.full((100,), -math.inf), math.inf, 0),
        "one dominant": (torch.tensor([1000.0] + [0.0] * 99), math.inf, 1),
        "one in the support": (torch.tensor([-math.inf] * 99 + [-900.0]), math.inf, 1),
        "steep": (-20.0 * torch.arange(100), None, 1),
        "nan": (torch.tensor([math.nan] + [0.0] * 99), math.nan, math.nan),
        "infinite": (torch.tensor([math.inf] + [0.0] * 99), math.nan, math.nan),
        "equal": (torch.full((100,), -1e5), -math.inf, 100),
        "huge spread": (1e4 * keys.normal(KEY, (100,)), math.inf, 1),
    }
    log_w = torch.stack([w for w, _, _ in columns.values()], 1)
    found = psis(log_w)
    for i, (name, (_, k, size)) in enumerate(columns.items()):
        if k is None:
            assert found.k_hat[i] > 1, name
        else:
            assert torch.equal(found.k_hat[i].nan_to_num(nan=7.0), torch.tensor(k).nan_to_num(nan=7.0)), name
        torch.testing.assert_close(found.ess[i], torch.tensor(float(size)), equal_nan=True)
        torch.testing.assert_close(ess(log_w)[i], torch.tensor(float(size)), equal_nan=True)
    assert found.verdict().startswith("no verdict: the weights of data 4, 5 of 8 give NaN or infinite numbers")
    whole = psis(log_w[:, [0, 1, 2, 3, 6, 7]])
    assert "unreliable for 5 of 6 data (0, 1, 2, 3, 5)" in whole.verdict()


def test_particles_outside_the_support_stay_there():
    log_w = exponential_weights(2.0, s=400, n=3)
    log_w[50:, 0] = -math.inf
    log_w[300:, 1] = -math.inf
    found = psis(log_w)
    assert torch.equal(found.log_weights == -math.inf, log_w == -math.inf)
    assert torch.isfinite(found.k_hat).all()


@given(strategies.log_weights())
def test_ess_is_its_formula_and_few_draws_have_no_verdict(log_w):
    largest = log_w.amax(0)
    w = torch.exp(log_w - torch.where(largest == -math.inf, 0.0, largest))
    expected = w.sum(0).square() / w.square().sum(0)
    torch.testing.assert_close(ess(log_w), expected.nan_to_num(nan=0.0))
    found = psis(log_w)
    assert (found.k_hat == math.inf).all()
    assert "draws are too few to judge a tail of weights: draw more than 20" in found.verdict()
    torch.testing.assert_close(found.ess, ess(log_w))


def test_shifts_orders_and_other_data_change_nothing():
    log_w = exponential_weights(3.0, s=500, n=4)
    whole = psis(log_w)
    shifted = psis(log_w - 777.0)
    torch.testing.assert_close(whole.k_hat, shifted.k_hat)
    torch.testing.assert_close(whole.log_weights, shifted.log_weights)
    order = keys.permutation(KEY, 500)
    torch.testing.assert_close(psis(log_w[order]).log_weights, whole.log_weights[order])
    for i in range(4):
        torch.testing.assert_close(psis(log_w[:, i : i + 1]).log_weights, whole.log_weights[:, i : i + 1])


def test_threshold_follows_the_number_of_draws():
    for s, expected in ((1, -math.inf), (10, 0.0), (100, 0.5), (2154, 0.7), (10_000, 0.7)):
        assert abs(k_hat_threshold(s) - expected) < 1e-3 or expected == -math.inf


@pytest.mark.parametrize("chunk", [1, 37, 64, 200, 1000, 3000])
def test_streamed_weights_have_the_k_hat_of_stored_ones(chunk):
    """Only the largest are kept; the verdict is the same."""
    log_w = exponential_weights(3.0, s=1000, n=8)
    log_w[:, 1] = -math.inf
    log_w[30:, 2] = -math.inf
    log_w[500, 3] = math.nan
    log_w[700, 4] = math.inf
    log_w[:, 5] = -3.0
    log_w[:, 6] = log_w[:, 6].sort().values  # every chunk brings a new tail
    log_w[999, 7] = 1e4
    places = torch.cat([log_w, torch.full((chunk, 8), 1e9)])  # particles beyond k are not read
    found = from_log_weights(lambda key: places[int(key[1]) : int(key[1]) + chunk], keys.key(0), 1000)
    expected = psis(log_w)
    torch.testing.assert_close(found.k_hat, expected.k_hat, rtol=1e-12, atol=0, equal_nan=True)
    assert reliability(found.k_hat, 1000) == expected.verdict()
    assert expected.k_hat[[1, 7]].tolist() == [math.inf, math.inf]
    assert torch.isfinite(expected.k_hat[[0, 2, 6]]).all()


def test_half_precision_is_computed_in_float32():
    found = psis(exponential_weights(2.0, s=500, n=2).half())
    assert found.k_hat.dtype == found.log_weights.dtype == found.ess.dtype == torch.float32


def test_bad_shapes_raise():
    for wrong in (torch.zeros(3), torch.zeros(0, 2), torch.zeros(2, 0)):
        for f in (psis, ess):
            with pytest.raises(ValueError, match=r"expected log_w (\(s, n\)|with one value or more)"):
                f(wrong)

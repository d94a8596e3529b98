"""Bridge sampling of correlated draws: its intervals cover, and a chain that is too short says so."""

import math

import pytest
import torch

from jensen.core import keys
from jensen.core.distributions import DiagNormal
from jensen.estimators.evidence import _bridge, bridge
from jensen.estimators.evidence.autocorrelation import variance_of_mean
from tests.estimators import normalisers as gates
from tests.estimators.normalisers import F64, KEY


def chain(s, n, rho, key):
    """Draws (s, n, 1) of N(0, 1), each correlated by rho with the one before."""
    steps = keys.normal(key, (s, n, 1), F64)
    z = [steps[0]]
    for step in steps[1:]:
        z.append(rho * z[-1] + math.sqrt(1 - rho**2) * step)
    return torch.stack(z)


CHAINS = [(200, 0.0), (600, 0.5)]
LONG_CHAINS = [(s, rho) for s in (1000, 4000) for rho in (-0.5, 0.0, 0.5, 0.9)] + [(10_000, 0.98)]


@pytest.mark.parametrize(
    ("s", "rho", "rows"),
    [(*each, 200) for each in CHAINS] + [pytest.param(*each, 500, marks=pytest.mark.slow) for each in LONG_CHAINS],
)
@pytest.mark.parametrize("distance", [0.7, 2.0])
def test_the_stated_intervals_cover(s, rho, rows, distance):
    """N(0, 1) by its chain and N(distance, 1): log_p +- 1.96 errors holds the truth in 90 to 99 of 100 rows."""
    target = gates.normal(rows, 1)
    q = DiagNormal(target.loc + distance, target.log_scale)
    found = bridge(target.log_prob, q, chain(s, rows, rho, KEY), keys.fold_in(KEY, 1), s)
    assert found.standard_error.isfinite().double().mean() > 0.97
    assert 0.9 <= (found.log_p.abs() <= 1.96 * found.standard_error).double().mean() <= 0.99


def test_errors_of_independent_draws_would_not_cover_a_chains_estimates(monkeypatch):
    monkeypatch.setattr(_bridge, "variance_of_mean", lambda f: f.var(0) / len(f))
    with pytest.raises(AssertionError):
        test_the_stated_intervals_cover(600, 0.8, 200, 0.7)


def test_a_correlated_chain_has_a_larger_error_which_is_its_spread():
    """Autoregressive draws of N(0, 1), correlation 0.9: an effective number of draws 19 times smaller."""
    reps, s, rho = 100, 2500, 0.9
    target = gates.normal(reps, 1)
    q = DiagNormal(target.loc + 0.7, target.log_scale)
    slow = bridge(target.log_prob, q, chain(s, reps, rho, KEY), keys.fold_in(KEY, 1), 2000)
    independent = bridge(target.log_prob, q, keys.normal(KEY, (s, reps, 1), F64), keys.fold_in(KEY, 1), 2000)
    assert 0.7 < slow.standard_error.mean() / slow.log_p.std() < 1.4
    assert slow.standard_error.mean() > 1.3 * independent.standard_error.mean()


def test_the_error_of_a_mean_of_autoregressive_draws():
    """Of correlation rho: (1 + rho) / (1 - rho) / s, less an end's part of 2 rho / (1 - rho)^2 / s^2."""
    for rho in (-0.5, 0.0, 0.9):
        found = variance_of_mean(chain(2000, 200, rho, KEY)[..., 0]).mean().item()
        assert found == pytest.approx((1 + rho) / (1 - rho) / 2000, rel=0.06)


def test_a_chain_shorter_than_its_memory_says_so():
    """300 draws of correlation .98, worth three: their spread says nothing of their error."""
    target = gates.normal(200, 1)
    q = DiagNormal(target.loc + 0.5, target.log_scale + 0.3)
    found = bridge(target.log_prob, q, chain(300, 200, 0.98, KEY), keys.fold_in(KEY, 1), 900)
    silent = found.standard_error.isfinite() & (found.log_p.abs() > 4 * found.standard_error)
    assert silent.double().mean() <= 0.01
    assert (found.standard_error == torch.inf).double().mean() > 0.9
    assert "the chain has fewer than 30 effective draws: draw a longer one (data 0, 1," in found.verdict()

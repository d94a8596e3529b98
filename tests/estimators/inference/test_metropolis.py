"""Random-walk Metropolis: moments of a normal, invariance under proposals of any size, and refusals."""

import math

import pytest
import torch

from jensen.core import keys
from jensen.estimators.inference import metropolis

LOC = torch.tensor([1.0, -2.0], dtype=torch.float64)
FACTOR = torch.tensor([[2.0, 0.0], [0.19, 0.02]], dtype=torch.float64)


def log_p(z):
    return -0.5 * torch.linalg.solve_triangular(FACTOR, (z - LOC)[..., None], upper=False).square().sum((-1, -2))


def test_chains_find_a_correlated_normal_from_far_starts():
    start = 2 * keys.normal(keys.key(1), (32, 2), torch.float64)
    chains, trace = metropolis.fit(keys.key(0), log_p, start, steps=600, warm_up=400)
    mixing, z = chains.mixing(), chains.draws[:, 0]
    assert mixing.r_hat.max() < 1.05
    assert ((z.mean(0) - LOC) / mixing.standard_error).abs().max() < 4.5
    scales = FACTOR.square().sum(1).sqrt()
    assert ((z.std(0) - scales) / mixing.sd_error).abs().max() < 4.5
    assert 0.18 < chains.accept.mean() < 0.3
    torch.testing.assert_close(trace.objective, chains.log_p.mean(1))
    torch.testing.assert_close(trace.standard_error, chains.log_p.std(1) / 32**0.5)


def test_an_update_leaves_the_posterior_invariant_and_another_acceptance_does_not(monkeypatch):
    tuning = metropolis.Tuning(torch.tensor(1.0, dtype=torch.float64), torch.ones(1, dtype=torch.float64))

    def error():
        """Of the mean and mean square of exponential variables after two updates, in standard errors."""
        z = -torch.log(keys.uniform(keys.key(3), (40_000, 1), torch.float64).clamp_min(1e-12))
        state = metropolis.init(_exponential, z)
        for i in range(2):
            state, _ = metropolis.update(state, _exponential, tuning, keys.fold_in(keys.key(4), i))
        found = torch.cat([state.z, state.z.square()], 1)
        return ((found.mean(0) - torch.tensor([1.0, 2.0])) / (found.std(0) / 200)).abs().max()

    assert error() < 4.5
    uniform = keys.uniform
    monkeypatch.setattr(metropolis.keys, "uniform", lambda *args: 0.9 * uniform(*args))  # accepts too often
    assert error() > 4.5


def test_the_size_suits_the_chain_that_is_stuck(monkeypatch):
    """At a narrow peak far from the others; by the mean over chains it never moves again."""

    def of_peaks(z):
        wide, narrow = -0.5 * z.square().sum(-1), -0.5 * ((z - 100) / 0.05).square().sum(-1) - 2 * math.log(0.05)
        return torch.logaddexp(wide, narrow)

    start = torch.cat([keys.normal(keys.key(1), (7, 2), torch.float64), torch.full((1, 2), 100.0).double()])

    def least():
        chains, _ = metropolis.fit(keys.key(3), of_peaks, start, steps=150, warm_up=500, metric="unit")
        return chains.accept.min()

    assert least() > 0.01
    monkeypatch.setattr(metropolis, "harmonic_mean", torch.mean)
    assert least() < 0.005


def _exponential(z):
    return torch.where(z >= 0, -z, -torch.inf).sum(-1)


def test_refusals():
    with pytest.raises(ValueError, match="finite at every start, got others for rows 1"):
        metropolis.init(_exponential, torch.tensor([[1.0], [-1.0]]))
    with pytest.raises(TypeError, match=r"metropolis\.init\(log_p, start\)"):
        metropolis.update(None, log_p, None, keys.key(0))
    with pytest.raises(ValueError, match="target"):
        metropolis.fit(keys.key(0), log_p, torch.zeros(2, 2), target=0.0)

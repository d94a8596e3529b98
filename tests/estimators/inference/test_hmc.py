"""Hamiltonian Monte Carlo: invariance, reversibility, moments of posteriors that are known, and refusals."""

import math

import pytest
import torch

from jensen.core import keys
from jensen.core.models import bayes
from jensen.estimators.inference import hmc
from jensen.estimators.inference.warm_up import at_least, harmonic_mean
from tests.laws.bayesian import POSTERIORS

D = 5
Q = torch.linalg.qr(keys.normal(keys.key(5), (1, D, D), torch.float64)[0]).Q
SCALES = torch.logspace(-2.5, 0.5, D, dtype=torch.float64)  # a condition number of 1e6
PRECISION, COVARIANCE = (Q * SCALES**-2) @ Q.T, (Q * SCALES**2) @ Q.T
LOC = torch.arange(D, dtype=torch.float64)


def log_p(z):
    return -0.5 * ((z - LOC) @ PRECISION * (z - LOC)).sum(-1)


def skewed(z):  # log of gamma variables of shape 2
    return (2 * z - z.exp()).sum(-1)


def tuning(size, length, d):
    wide = {"dtype": torch.float64}
    return hmc.Tuning(torch.tensor(size, **wide), torch.tensor(length, **wide), torch.ones(d, **wide))


def moved():
    """Draws of two gammas after three coarse trajectories."""
    shape = (40_000, 2)
    uniform = [keys.uniform(keys.fold_in(keys.key(1), i), shape, torch.float64).clamp_min(1e-12) for i in range(2)]
    state = hmc.init(skewed, torch.log(-torch.log(uniform[0]) - torch.log(uniform[1])))
    for i in range(3):
        state, info = hmc.update(state, skewed, tuning(0.9, 0.9, 2), keys.fold_in(keys.key(2), i))
    return state.z, info


def in_errors(z):
    """How far the means of x, x^2 and log x, x ~ Gamma(2), are from theirs, in standard errors."""
    found = torch.stack([z.exp(), (2 * z).exp(), z])
    expected = torch.tensor([2.0, 6.0, 1 - 0.57721566490153286])[:, None]
    return ((found.mean(1) - expected) / (found.std(1) / len(z) ** 0.5)).abs().max().item()


def test_an_update_leaves_the_posterior_invariant_and_no_correction_does_not(monkeypatch):
    z, info = moved()
    assert 0.5 < info.accept.mean() < 0.97
    assert in_errors(z) < 4.5
    monkeypatch.setattr(hmc.keys, "uniform", _never_rejects(hmc.keys.uniform))
    assert in_errors(moved()[0]) > 10


def _never_rejects(uniform):
    return lambda key, shape, dtype: uniform(key, shape, dtype) * (1 if shape == (1, 1) or shape[-1] > 1 else 0)


def test_a_trajectory_is_reversible():
    state = hmc.init(log_p, LOC + keys.normal(keys.key(0), (8, D), torch.float64))
    setting = tuning(0.002, 1.0, D)
    momentum = keys.normal(keys.key(1), (8, D), torch.float64)
    end, last = hmc._trajectory(state, log_p, setting, momentum, 50)
    back, first = hmc._trajectory(end, log_p, setting, -last, 50)
    assert not torch.allclose(end.z, state.z, atol=1e-3)
    torch.testing.assert_close(back.z, state.z, rtol=0, atol=1e-9)
    torch.testing.assert_close(-first, momentum, rtol=0, atol=1e-9)


def test_chees_has_its_slope_of_a_normal():
    """Of N(0, I) after a time t, E (|x'|^2 - |x|^2)^2 / 4 = d sin(t)^2: its slope in log t is d t sin 2t, in errors."""
    d, off, expected = 3, [], []
    for i in range(40):
        state = hmc.init(lambda z: -0.5 * z.square().sum(-1), keys.normal(keys.key(i), (1000, d), torch.float64))
        _, info = hmc.update(state, lambda z: -0.5 * z.square().sum(-1), tuning(0.05, 0.7, d), keys.key(100 + i))
        t = 0.05 * info.leapfrogs.item()
        expected.append(d * t * math.sin(2 * t))
        off.append(info.chees.item() - expected[-1])
    off = torch.tensor(off)
    error = off.std() / len(off) ** 0.5
    assert abs(off.mean()) < 4 * error
    assert abs(sum(expected)) / len(expected) > 10 * error


def test_chains_find_an_ill_conditioned_normal_from_far_starts():
    start = 2 * keys.normal(keys.key(1), (32, D), torch.float64)
    chains, trace = hmc.fit(keys.key(0), log_p, start, steps=200, warm_up=200)
    mixing, z = chains.mixing(), chains.draws[:, 0]
    assert mixing.r_hat.max() < 1.02
    assert ((z.mean(0) - LOC) / mixing.standard_error).abs().max() < 4.5
    assert ((z.std(0) - COVARIANCE.diagonal().sqrt()) / mixing.sd_error).abs().max() < 4.5
    assert 0.7 < chains.accept.mean() < 0.92
    torch.testing.assert_close(trace.objective, chains.log_p.mean(1))
    torch.testing.assert_close(trace.standard_error, chains.log_p.std(1) / 32**0.5)
    assert (trace.objective.mean() + D / 2).abs() < 0.5
    assert chains.log_p.shape == (200, 32)
    torch.testing.assert_close(chains.log_p, log_p(chains.z))


def test_eight_schools_by_quadrature():
    y = torch.tensor([28.0, 8, -3, 7, -1, 1, 18, 12], dtype=torch.float64)
    sigma = torch.tensor([15.0, 10, 16, 11, 9, 11, 10, 18], dtype=torch.float64)
    posterior = bayes.condition(bayes.eight_schools(), {"y": y, "sigma": sigma})
    chains, _ = hmc.fit(keys.key(0), posterior, posterior.starts(keys.key(1), 32), steps=200, warm_up=200)
    # theta integrates to y_j ~ N(mu, tau^2 + sigma_j^2)
    mu, tau = torch.linspace(-30, 40, 281, dtype=y.dtype)[:, None], torch.linspace(0.01, 80, 4000, dtype=y.dtype)
    variance = tau.square()[:, None] + sigma.square()
    log_weight = -0.5 * (mu / 5).square() - torch.log1p((tau / 5).square()) - 0.5 * variance.log().sum(-1)
    for j in range(8):
        log_weight = log_weight - 0.5 * (y[j] - mu).square() / variance[:, j]
    weight = torch.softmax(log_weight.flatten(), 0).reshape(log_weight.shape)
    mixing = chains.mixing(posterior.flat)
    found = posterior.flat(chains.draws[:, 0])[:, :2].mean(0)
    expected = torch.stack([(weight * mu).sum(), (weight * tau).sum()])
    assert ((found - expected) / mixing.standard_error[:2]).abs().max() < 4.5


def test_keys_decide_and_chains_do_not_know_of_each_other():
    start = LOC + keys.normal(keys.key(1), (8, D), torch.float64)
    state, setting = hmc.init(log_p, start), tuning(0.002, 0.02, D)
    first, _ = hmc.update(state, log_p, setting, keys.key(3))
    torch.testing.assert_close(hmc.update(state, log_p, setting, keys.key(3))[0].z, first.z, rtol=0, atol=0)
    few, _ = hmc.update(hmc.init(log_p, start[:3]), log_p, setting, keys.key(3))
    torch.testing.assert_close(few.z, first.z[:3])


def test_the_size_suits_the_chain_that_is_stuck():
    """As its mean over chains would not: there one is left where every trajectory diverges."""
    posterior = POSTERIORS["autoregression"]
    start = posterior.starts(keys.fold_in(keys.key(3), 1), 16)
    chains, _ = hmc.fit(keys.fold_in(keys.key(3), 0), posterior, start, steps=20, warm_up=150, most=128)
    assert chains.accept.min() > 0.5


@pytest.mark.parametrize("m", [2, 31])
def test_a_chain_that_is_rejected_brings_the_mean_to_the_target_and_no_further(m):
    accept = torch.ones(m, dtype=torch.float64)
    accept[0] = 0
    assert abs(harmonic_mean(at_least(accept, 0.8)) - 0.8) < 1e-12
    assert harmonic_mean(at_least(0.9 * accept, 0.8)) < 0.8
    assert harmonic_mean(accept) < 1e-100


def test_a_narrow_neck_does_not_rule_the_steps(monkeypatch):
    """x ~ N(0, exp(z)), exp(z) half-normal; were no chain ever to be rejected in it, steps would be far smaller."""

    def necked(z):
        return -0.5 * ((2 * z[..., 0]).exp() + (z[..., 1] * torch.exp(-z[..., 0])).square())

    def leapfrogs():
        asked = []
        hmc.fit(keys.key(4), lambda z: asked.append(len(z)) or necked(z), start, steps=1, warm_up=60, most=128)
        return len(asked)

    start = 2 * keys.uniform(keys.key(3), (1, 32, 2), torch.float64)[0]
    few = leapfrogs()
    monkeypatch.setattr(hmc, "at_least", lambda accept, target: accept)
    assert leapfrogs() > 2 * few


def test_divergences_are_counted():
    state = hmc.init(log_p, LOC + torch.zeros(4, D, dtype=torch.float64))
    after, info = hmc.update(state, log_p, tuning(3.0, 30.0, D), keys.key(0))
    assert info.divergent.all()
    assert (after.z == state.z).all()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"start": torch.zeros(1, D)}, r"m >= 2, got \(1, 5\)"),
        ({"start": torch.zeros(D)}, "start"),
        ({"log_p": lambda z: z.sum(-1) - torch.inf}, "finite at every start, got others for rows 0, 1"),
        ({"log_p": lambda z: z.sqrt().sum(-1)}, "its gradient finite"),
        ({"log_p": lambda z: z.sum()}, "one value per sample and datum"),
        ({"target": 1.2}, "target"),
        ({"metric": "full"}, "metric"),
        ({"steps": 0}, "steps"),
        ({"warm_up": 0}, "warm_up"),
        ({"most": 0}, "most"),
    ],
)
def test_refusals(change, message):
    given = {"log_p": lambda z: -z.square().sum(-1), "start": torch.zeros(3, D), **change}
    with pytest.raises(ValueError, match=message):
        hmc.fit(keys.key(0), **given)


def test_a_state_comes_from_init():
    with pytest.raises(TypeError, match=r"hmc\.init\(log_p, start\)"):
        hmc.update(torch.zeros(3, D), log_p, tuning(0.1, 1.0, D), keys.key(0))

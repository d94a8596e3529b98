"""Modes that draws have overlooked: found with their probability, and not where the draws are there."""

import math

import pytest
import torch

from jensen.core import keys
from jensen.core.distributions import DiagNormal
from jensen.estimators.inference import _overlooked, judge, overlooked

KEY = keys.key(3)
D, SIDE, SHARE = 3, 4.0, 0.8
STARTS = 12 * (keys.uniform(KEY, (1, 12, D), torch.float64)[0] - 0.5)
NOISE = keys.normal(keys.fold_in(KEY, 1), (1, 4000, D), torch.float64)[0]


def log_p(z):
    """0.8 N(4, 1) + 0.2 N(-4, 0.5^2), times e^3."""
    sides = [(SIDE, 1.0, SHARE), (-SIDE, 0.5, 1 - SHARE)]
    each = [
        (-0.5 * ((z - loc) / scale).square() - math.log(scale) - 0.5 * math.log(2 * math.pi)).sum(-1) + math.log(w)
        for loc, scale, w in sides
    ]
    return torch.logaddexp(*each) + 3


@pytest.mark.parametrize(("loc", "scale", "missing"), [(SIDE, 1.0, 1 - SHARE), (-SIDE, 0.5, SHARE)])
def test_a_mode_without_draws_is_found_with_its_probability(loc, scale, missing):
    log_evidence = torch.tensor(3 + math.log(1 - missing), dtype=torch.float64)  # of the draws' own part
    found = overlooked(KEY, log_p, loc + scale * NOISE, STARTS, log_evidence)
    assert len(found.mode) == 2
    assert found.flags.sum() == 1
    worst = found.probability[found.flags]
    assert (worst - missing).abs() < 4.5 * found.standard_error[found.flags] + 2e-3  # the region's edge
    assert found.share[found.flags] == 0
    assert f"{worst.item():.2g} of the probability" in found.verdict()


def test_draws_and_weights_at_every_mode_have_overlooked_none():
    side = torch.where(torch.arange(4000) % 5 > 0, 1.0, -1.0)[:, None].double()
    draws = side * SIDE + torch.where(side > 0, 1.0, 0.5) * NOISE
    whole = torch.tensor(3.0, dtype=torch.float64)
    assert not overlooked(KEY, log_p, draws, STARTS, whole).verdict()
    weights = torch.where(side[:, 0] > 0, 1.0, 1e-4)
    found = overlooked(KEY, log_p, draws, STARTS, whole + math.log(SHARE), weights / weights.sum())
    assert "about one is 0.2 of the probability, and 2.5e-05 of the draws" in found.verdict()


def test_modes_with_the_wrong_shares_of_the_draws_are_found():
    side = torch.where(torch.arange(4000) % 2 > 0, 1.0, -1.0)[:, None].double()
    draws = side * SIDE + torch.where(side > 0, 1.0, 0.5) * NOISE
    found = overlooked(KEY, log_p, draws, STARTS, torch.tensor(3.0, dtype=torch.float64))
    assert "of the probability, and 0.5 of the draws" in found.verdict()


def test_an_approximation_that_k_hat_calls_reliable_is_caught():
    q = DiagNormal(torch.full((1, D), SIDE).double(), torch.zeros(1, D).double())
    found = judge(log_p, q, KEY)
    assert found.reliable
    assert overlooked(KEY, log_p, found.z[:, 0], STARTS, found.evidence.log_p[0]).flags.any()


def test_a_mode_far_from_the_mass_is_none():
    """Log-normal scales of a funnel: Laplace's normal is sharp in the neck, where little of the probability is."""

    def funnel(z):
        inner = -0.5 * z[..., 1:].square() * torch.exp(-z[..., :1]) - 0.5 * z[..., :1]
        return -0.5 * z[..., 0].square() + inner.sum(-1) - 2 * math.log(2 * math.pi)

    neck = NOISE[:, :1]
    draws = torch.cat([neck, torch.exp(0.5 * neck) * NOISE[:, 1:]], 1)
    assert not overlooked(KEY, funnel, draws, STARTS, torch.zeros((), dtype=torch.float64)).verdict()


def test_no_mode_is_no_verdict():
    found = overlooked(KEY, lambda z: z.sum(-1), NOISE, STARTS, torch.zeros((), dtype=torch.float64))
    assert found.mode.shape == (0, D)
    assert found.verdict() == ""


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"starts": STARTS[:, :2]}, "starts"),
        ({"draws": NOISE[0]}, "draws"),
        ({"weights": NOISE[:, 0][:5]}, "weights"),
        ({"samples": 1}, "samples"),
        ({"log_evidence": torch.zeros(1)}, "log_evidence"),
    ],
)
def test_refusals(change, message):
    given = {"draws": NOISE, "starts": STARTS, "log_evidence": torch.zeros(()), **change}
    with pytest.raises(ValueError, match=message):
        overlooked(KEY, log_p, **given)


def test_standard_errors_are_the_spread_over_keys(monkeypatch):
    """Of two skewed modes, log Gamma(1) about -8 and 8, half of the draws' own at each."""

    def skewed(z):
        sides = [(z - side - (z - side).exp()).sum(-1) for side in (-8.0, 8.0)]
        return torch.stack(sides).logsumexp(0) + math.log(0.5)

    uniform = keys.uniform(KEY, (1, 4000, 1), torch.float64)[0].clamp_min(1e-12)
    draws = (-uniform.log()).log() + 8
    evidence = torch.tensor(math.log(0.5), dtype=torch.float64)
    starts = torch.tensor([[-8.0], [8.0]], dtype=torch.float64)
    modes = _overlooked._different(skewed, starts)
    monkeypatch.setattr(_overlooked, "_different", lambda log_p, starts: modes)  # which no key changes
    runs = [overlooked(keys.key(i), skewed, draws, starts, evidence, samples=100) for i in range(40)]
    spread = torch.stack([found.probability for found in runs]).std(0)
    error = torch.stack([found.standard_error for found in runs]).mean(0)
    assert (error / spread - 1).abs().max() < 4.5 / (2 * 39) ** 0.5  # errors of a deviation of 40

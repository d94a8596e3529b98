"""Neural posterior estimation beside posteriors in closed form, and what its verdict finds."""

from dataclasses import replace
from functools import partial

import pytest
import torch

from jensen.core import distributions, keys
from jensen.core.distributions import FullNormal
from jensen.core.flows import RationalQuadratic, maf
from jensen.core.models import bayes
from jensen.estimators.diagnostics import calibration, ranks
from jensen.estimators.inference import npe
from jensen.estimators.inference.simulator import Simulator
from jensen.estimators.inference.summaries import Exchangeable, Perceptron

DESIGN, NOISE = torch.tensor([[1.0, 0.5], [0.0, 1.0], [1.0, -1.0]]), 0.5
COVARIANCE = torch.linalg.inv(torch.eye(2) + DESIGN.mT @ DESIGN / NOISE**2)
S = 99
TOSSES = 5


def draw(key, s):
    return {"weights": keys.normal(key, (s, 1, 2))}


def simulate(key, theta):
    return DESIGN @ theta["weights"] + NOISE * keys.normal(key, (3, 1))[:, 0]


LINEAR = Simulator({"weights": bayes.real(2)}, draw, simulate)
FRESH = LINEAR.simulations(keys.key(9), 1000)
EXACT = FullNormal.from_covariance(FRESH.x @ DESIGN @ COVARIANCE / NOISE**2, COVARIANCE.expand(1000, 2, 2))


@pytest.fixture(scope="module")
def linear():
    flow = partial(maf, layers=2, hidden=(32,))
    return npe.fit(keys.key(3), LINEAR, 2000, 0.15, flow, batch_size=200, step_size=0.01)


def test_a_linear_normal_posterior_is_found_for_every_x(linear):
    found, trace = linear
    excess = EXACT.log_prob(FRESH.z[None])[0] - found.given(FRESH.x).log_prob(FRESH.z[None])[0]
    error = excess.std() / len(excess) ** 0.5
    assert excess.mean() > -4 * error  # no density beats the posterior's on average
    assert excess.mean() < 0.1  # nats: of normals, errors of a mean of 0.3 standard deviations
    z, sd = found.draws(keys.key(1), FRESH.x, 400), COVARIANCE.diagonal().sqrt()
    wrong = ((z.mean(0) - EXACT.loc) / sd).square().mean(0)
    assert (wrong < 0.2 + 1 / 400).all()  # twice the excess at most, by Pinsker for normals, beside that of 400 draws
    assert ((z.std(0) / sd).mean(0) - 1).abs().max() < 0.1
    assert (trace.objective.diff() >= 0).all()
    assert trace.converged
    assert found.settled
    torch.testing.assert_close(trace.objective[-1], found.log_q)


def test_it_is_calibrated_and_half_its_width_is_not(linear):
    found, _ = linear
    z = found.draws(keys.key(2), FRESH.x, S)
    passed = calibration(ranks(FRESH.z, z, keys.key(4)), S)
    assert 0.5 < passed.spread.min() <= passed.spread.max() < 1.3
    assert found.verdict().startswith("calibrated")
    narrow = z.mean(0) + (z - z.mean(0)) / 2
    caught = calibration(ranks(FRESH.z, narrow, keys.key(4)), S)
    assert "too narrow" in caught.verdict()


def test_calibration_of_a_fit_finds_a_planted_width(linear, monkeypatch):
    """What `fit` draws for its ranks has half the width."""
    found, _ = linear
    sample = distributions.Pushforward.sample
    monkeypatch.setattr(distributions.Pushforward, "sample", lambda self, noise: sample(self, noise / 2))
    judged = npe._calibrated(keys.key(0), npe.Learnt(found.q, FRESH, FRESH, torch.zeros(1, 1000), True))
    assert "too narrow" in judged.verdict()


def test_data_outside_what_was_simulated_are_named(linear):
    found, _ = linear
    usual, away = FRESH.x[:1] * 0, torch.tensor([[1.0, 1.0, 1.0]]) * 8
    assert "among what was simulated" in found.verdict(usual)
    assert "data 1 of 2 are outside" in found.verdict(torch.cat([usual, away]))
    share = (found.likeness(FRESH.x) <= 0.05).float().mean()
    assert abs(share - 0.05) < 4 * (0.05 * 0.95 * (1 / 1000 + 1 / 300)) ** 0.5


def prior_of_chance(key, s):
    return {"chance": keys.uniform(key, (s, 1))}


def toss(key, theta):
    return (keys.uniform(key, (TOSSES, 1))[:, 0] < theta["chance"]).float()


def test_sets_of_tosses_give_chances_within_0_and_1_whatever_their_order():
    """theta ~ U(0, 1): given k of 5, Beta(1 + k, 6 - k)."""
    simulator = Simulator({"chance": bayes.unit_interval()}, prior_of_chance, toss)
    flow, summary = partial(maf, layers=1, hidden=(16,), transform=RationalQuadratic(6, 4.0)), Exchangeable(4, (16,))
    found, _ = npe.fit(keys.key(5), simulator, 1500, 0.2, flow, summary, 200, epochs=12, step_size=0.02)
    x = torch.tensor([[0.0, 0, 0, 0, 0], [1, 0, 1, 0, 0], [0, 0, 1, 0, 1], [1, 1, 1, 1, 1]])
    z = found.draws(keys.key(6), x, 2000)
    chance = found.constrained(z)["chance"]
    assert ((chance > 0) & (chance < 1)).all()
    k = x.sum(1)
    mean, sd = (1 + k) / 7, ((1 + k) * (6 - k) / (49 * 8)).sqrt()
    assert ((chance.mean(0) - mean) / sd).abs().max() < 0.4
    log_q = found.given(x).log_prob(z[:, :1].expand_as(z))
    torch.testing.assert_close(log_q[:, 1], log_q[:, 2], rtol=0, atol=1e-3)


def test_a_model_simulates_its_data_given_covariates():
    data = {"x": DESIGN, "y": torch.zeros(3)}
    simulator = Simulator.of(bayes.condition(bayes.linear_regression(2, NOISE), data), "y")
    x = simulator.simulations(keys.key(0), 4000).x
    torch.testing.assert_close(x.T.cov(), DESIGN @ DESIGN.T + NOISE**2 * torch.eye(3), rtol=0, atol=0.2)
    looped = replace(simulator, mapped=False).simulations(keys.key(0), 5)
    assert looped.x.shape == (5, 3)
    with pytest.raises(ValueError, match="expected observed, one of x, y, got 'z'"):
        Simulator.of(bayes.condition(bayes.linear_regression(2), data), "z")


def test_simulations_that_are_not_finite_are_named():
    def broken(key, theta):
        x = simulate(key, theta)
        return torch.where(theta["weights"][0] > 2, torch.nan, x)

    with pytest.raises(ValueError, match=r"NaN or infinity in \d+ of 500, the first at weights = \(2\."):
        replace(LINEAR, simulate=broken).simulations(keys.key(0), 500)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"draw": lambda key, s: {"weights": keys.uniform(key, (s, 2))}}, r"expected draw\(key, 5\) to give theta"),
        ({"draw": lambda key, s: {"slopes": keys.uniform(key, (s, 1, 2))}}, "weights"),
        ({"draw": lambda key, s: keys.uniform(key, (s, 1, 2))}, "expected theta, a dict of weights"),
        ({"support": {"weights": bayes.between(-1.0, 1.0, 2)}}, r"expected theta\['weights'\] in between"),
        ({"simulate": lambda key, theta: 3.0}, "a tensor x, got 3.0"),
        ({"simulate": lambda key, theta: theta["weights"][:0]}, "a tensor x, got a tensor"),
        ({"support": {}}, "expected support, a dict"),
        ({"support": {"weights": "real"}}, "expected the support of weights"),
    ],
)
def test_simulators_that_do_not_fit_are_refused(wrong, message):
    with pytest.raises((TypeError, ValueError, KeyError), match=message):
        replace(LINEAR, **wrong).simulations(keys.key(0), 5)


def test_one_number_of_data_is_enough():
    one = replace(LINEAR, simulate=lambda key, theta: simulate(key, theta)[0])
    found, _ = npe.fit(keys.key(0), one, 40, 0.5, epochs=1)
    assert found.draws(keys.key(0), torch.zeros(3), 2).shape == (2, 3, 2)


def test_what_is_looked_at_afterwards_is_checked(linear):
    found, _ = linear
    with pytest.raises(ValueError, match=r"x\[None\]"):
        found.given(torch.zeros(3))
    with pytest.raises(ValueError, match="NaN or infinity in 1 of 2 rows"):
        found.given(torch.tensor([[0.0, 0, 0], [0, 0, torch.nan]]))
    with pytest.raises(ValueError, match="expected hidden of one width or more"):
        Exchangeable(3, ())
    with pytest.raises(ValueError, match="outputs"):
        Perceptron(0)
    with pytest.raises(ValueError, match="expected x of sets"):
        Exchangeable(3).init(keys.key(0), (2, 3, 4))

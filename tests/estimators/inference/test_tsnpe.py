"""Truncated sequential estimation beside posteriors in closed form and by quadrature, and the faults it can have."""

import math
from dataclasses import replace
from functools import partial

import pytest
import torch

from jensen.core import keys
from jensen.core.distributions import FullNormal
from jensen.core.flows import maf
from jensen.core.models import bayes
from jensen.estimators.diagnostics import coverage
from jensen.estimators.inference import npe, tsnpe
from jensen.estimators.inference.learning import Learning
from jensen.estimators.inference.region import Restricted
from jensen.estimators.inference.simulator import Simulator

DESIGN, NOISE = torch.tensor([[1.0, 0.5], [0.0, 1.0], [1.0, -1.0]]), 0.1
COVARIANCE = torch.linalg.inv(torch.eye(2) + DESIGN.mT @ DESIGN / NOISE**2)
SD = COVARIANCE.diagonal().sqrt()
X = (DESIGN @ torch.tensor([0.8, -0.4]) + torch.tensor([0.05, 0.08, -0.06]))[None]
EXACT = FullNormal.from_covariance(X @ DESIGN @ COVARIANCE / NOISE**2, COVARIANCE[None])
LINEAR = Simulator(
    {"weights": bayes.real(2)},
    lambda key, s: {"weights": keys.normal(key, (s, 1, 2))},
    lambda key, theta: DESIGN @ theta["weights"] + NOISE * keys.normal(key, (3, 1))[:, 0],
)
LEARNING = Learning(0.2, partial(maf, layers=1, hidden=(16,)), epochs=30, step_size=0.02)
N = 400


@pytest.fixture(scope="module")
def first():
    return tsnpe.init(keys.key(0), LINEAR, X, N, LEARNING)


def after(state, seed, epsilon=1e-4):
    return tsnpe.update(state, keys.key(seed), LINEAR, N, epsilon, LEARNING)[0]


@pytest.fixture(scope="module")
def second(first):
    return after(first, 1)


@pytest.fixture(scope="module")
def third(second):
    return after(second, 2)


def excess(state):
    """KL(q from the posterior) at the data, in nats, and q's standard deviations over the posterior's."""
    z = state.posterior.draws(keys.key(9), X, 4000)
    log_q = state.posterior.given(X).log_prob(z)
    return (log_q - EXACT.log_prob(z)).mean().item(), z[:, 0].std(0) / SD


def test_rounds_find_a_linear_normal_posterior_nearer_than_one_round_of_all_simulations(first, third):
    kl, width = excess(third)
    assert kl < 0.1  # nats: of normals, errors of a mean of 0.3 standard deviations
    assert (width > 0.8).all()
    assert kl < excess(first)[0] / 10
    assert third.round.leakage < 0.01
    assert third.round.moved < first.round.moved == torch.inf
    amortised, _ = npe.fit(keys.key(0), LINEAR, 3 * N, 0.2, LEARNING.flow, epochs=30, step_size=0.02)
    assert kl < excess(third._replace(posterior=amortised))[0] / 10


def test_simulations_are_of_the_prior_in_nested_regions(first, second, third):
    assert first.round.acceptance == 1
    assert len(first.simulations.z) == N
    assert len(third.region.densities) == 2
    assert third.region.contains(third.simulations.z).all()
    assert N < len(third.simulations.z) == third.round.n < 3 * N
    assert second.region.contains(third.simulations.z).all()
    old = first.simulations.z[third.region.contains(first.simulations.z)]
    torch.testing.assert_close(third.simulations.z[-len(old) :], old)
    assert third.posterior.verdict(X).startswith("calibrated")
    assert coverage(third.posterior.calibration.ranks, 99).verdict().startswith("coverage is right")


def test_proposals_that_are_draws_of_q_and_not_of_the_prior_make_the_posterior_too_narrow(second, monkeypatch):
    """Planted: then q is of a prior that is a posterior, whose standard deviation is 0.7 of the posterior's."""

    def draws(key, simulator, region, n, most):
        z, _ = region.draws(key, region.densities[-1], 2 * n)
        return Restricted(z[:n], torch.ones(()), torch.zeros(()))

    monkeypatch.setattr(tsnpe, "restricted", draws)
    kl, width = excess(after(second._replace(simulations=second.simulations.rows(slice(0))), 2))
    assert kl > 0.15
    assert (width < 0.8).all()


def test_an_epsilon_that_is_too_large_is_seen(first):
    cut = after(after(first, 1, 0.3), 2, 0.3)
    assert (excess(cut)[1] < 0.6).all()
    assert cut.round.leakage > 0.03


def test_fit_is_its_rounds_and_says_what_truncation_left_out():
    quick = Learning(0.2, partial(maf, layers=1, hidden=(4,)), epochs=2, step_size=0.03)
    said = []
    fit = partial(tsnpe.fit, keys.key(4), LINEAR, X, 100, 3, 0.2, quick)
    found, trace = fit(0.0, progress=said.append)
    assert trace.objective.shape == trace.standard_error.shape == found.rounds.acceptance.shape == (3,)
    assert not trace.converged
    assert any("round 2 of 3 at most: acceptance" in line for line in said)
    torch.testing.assert_close(trace.objective[-1], found.last.log_q)
    state = tsnpe.init(keys.fold_in(keys.key(4), 0), LINEAR, X, 100, quick)
    for i in (1, 2):
        state, info = tsnpe.update(state, keys.fold_in(keys.key(4), i), LINEAR, 100, 0.2, quick)
    torch.testing.assert_close(found.draws(keys.key(1), 5), state.posterior.draws(keys.key(1), X, 5))
    torch.testing.assert_close(info.objective, trace.objective[1])
    assert "truncation left out 36 % of the posterior, epsilon 0.2 a round: lower it" in found.verdict()
    assert "the last round moved it by" in found.verdict()
    assert found.constrained(found.draws(keys.key(1), 5))["weights"].shape == (5, 1, 2)
    short, trace = fit(0.0, most=150)
    assert len(short.rounds.moved) == 1
    assert not trace.converged
    assert "rounds ended early: expected 100 draws of the prior in the region among 150, got" in short.verdict()
    assert "moved" not in short.verdict()
    early, trace = fit(1e6)
    assert trace.converged
    assert len(early.rounds.moved) == 2
    assert "moved" not in early.verdict()


def test_refusals(first):
    def update(epsilon=0.1, learning=LEARNING, most=10**6, simulator=LINEAR):
        return tsnpe.update(first, keys.key(0), simulator, 100, epsilon, learning, most)

    narrow = replace(LINEAR, support={"weights": bayes.real(1)})
    short = replace(LINEAR, simulate=lambda key, theta: theta["weights"])
    for said, call in {
        r"expected x \(1, 3\), got \(3,\): one data set, so x\[None\]": lambda: tsnpe.init(keys.key(0), LINEAR, X[0]),
        r"expected x \(1, 3\), got \(1, 2\)": lambda: tsnpe.init(keys.key(0), LINEAR, X[:, :2]),
        "finite x": lambda: tsnpe.init(keys.key(0), LINEAR, X * torch.nan),
        r"epsilon in \(0, 1\), got 0: 1e-4 leaves out": lambda: update(0),
        "100 draws of the prior in the region among 50": lambda: update(0.1, LEARNING, 50),
        r"simulator of z \(n, 2\), as the state is of, got \(n, 1\)": lambda: update(simulator=narrow),
        r"simulator of x \(3,\), as the state is of, got \(2,\)": lambda: update(simulator=short),
        "held_out": lambda: tsnpe.fit(keys.key(0), LINEAR, X, 5),
    }.items():
        with pytest.raises(ValueError, match=said):
            call()
    with pytest.raises(TypeError, match="begin with tsnpe"):
        tsnpe.update(None, keys.key(0), LINEAR)


def two_moons(key, theta):
    """Greenberg et al., 2019: a thin half circle, moved by theta in a way that two thetas share."""
    u, noise = keys.uniform(key, (1, 1))[0], keys.normal(keys.fold_in(key, 1), (1, 1))[0]
    angle, r = math.pi * (u - 0.5), 0.1 + 0.01 * noise
    first, second = theta["theta"][:1], theta["theta"][1:]
    moved = torch.cat([-(first + second).abs(), second - first]) / math.sqrt(2)
    return torch.cat([r * angle.cos() + 0.25, r * angle.sin()]) + moved


def moons_log_density(theta):
    """log p(theta | x = 0) up to a constant, theta uniform from -1 to 1, by the half circle's density."""
    first, second = theta[..., 0], theta[..., 1]
    a = -0.25 + (first + second).abs() / math.sqrt(2)
    b = (first - second) / math.sqrt(2)
    r = torch.hypot(a, b)
    return torch.where(a > 0, -0.5 * ((r - 0.1) / 0.01).square() - r.log(), -torch.inf)


@pytest.mark.slow
def test_both_moons_stay_in_the_region_and_are_found():
    support = {"theta": bayes.between(-1.0, 1.0, 2)}
    simulator = Simulator(support, lambda key, s: {"theta": 2 * keys.uniform(key, (s, 1, 2)) - 1}, two_moons)
    found, _ = tsnpe.fit(keys.key(1), simulator, torch.zeros(1, 2), 1000, 4, learning=Learning(epochs=60))
    axis = torch.linspace(-1, 1, 2001, dtype=torch.float64)[1:-1]
    theta = torch.cartesian_prod(axis, axis)
    p = moons_log_density(theta).softmax(0)
    exact = torch.stack([(theta[:, 0] + theta[:, 1]).abs() @ p, (theta[:, 0] - theta[:, 1]) @ p])
    drawn = found.constrained(found.draws(keys.key(2), 4000))["theta"][:, 0].double()
    total, difference = drawn.sum(1), drawn[:, 0] - drawn[:, 1]
    share = (total > 0).double().mean()
    assert abs(share - 0.5) < 0.1
    assert abs(total.abs().mean() - exact[0]) < 0.03
    assert abs(difference.mean() - exact[1]) < 0.03
    assert found.rounds.acceptance[-1] < 0.3

"""Diffusions: data whose every marginal is normal, for which the best noise is known, as the oracle."""

import math
from dataclasses import dataclass

import numpy as np
import pytest
import torch
from torch.func import grad

from jensen.core import keys
from jensen.core.distributions import DiagNormal
from jensen.core.models.transport import diffusion, fields, noise_levels

KEY = keys.key(0)
DOUBLE = torch.float64
LOC, SCALE = torch.tensor([0.5, -1.0], dtype=DOUBLE), torch.tensor([1.5, 0.4], dtype=DOUBLE)
P = DiagNormal(LOC[None], SCALE.log()[None])
ENTROPY = 0.5 * (2 * math.log(2 * math.pi * math.e) + (SCALE**2).log().sum())
X = P.sample(P.noise(KEY, 1500))[:, 0]


@dataclass(frozen=True)
class Best:
    """E[noise | x_t] of data N(LOC, SCALE²), times a factor that plants an error."""

    levels: object
    factor: float = 1.0
    data = 2

    def init(self, key, dtype=torch.float32):
        return {}

    def __call__(self, params, x, t):
        kept = self.levels.kept()[(t * self.levels.steps).round().long() - 1][..., None]
        return self.factor * (1 - kept).sqrt() * (x - kept.sqrt() * LOC) / (kept * SCALE**2 + 1 - kept)


def gap(levels, variance="large", factor=1.0):
    """The mean of log p(x) - elbo over data, and its standard error."""
    model = diffusion.build(Best(levels, factor), levels, variance)
    away = P.log_prob(X[:, None])[:, 0] - model.bound({}, X, keys.fold_in(KEY, 1)).elbo
    return away.mean().item(), away.std().item() / len(away) ** 0.5


@pytest.mark.parametrize("build", [noise_levels.linear, noise_levels.cosine])
def test_the_bound_is_below_log_p_and_approaches_it_with_more_steps(build):
    gaps = [gap(build(steps)) for steps in (10, 30, 100)]
    means = [mean for mean, _ in gaps]
    assert all(mean > -3 * error for mean, error in gaps)
    assert means[0] > means[1] > means[2] - 3 * gaps[2][1]
    assert means[2] < 0.01


def exact_gap(levels, variance):
    """E_p of the same: for normal data both chains are normal at every step, and their KL has a closed form."""
    kept, before, beta, v = diffusion.build(Best(levels), levels, variance).table
    ratio = (beta * (1 - before) / (1 - kept) / v)[1:]
    error = 1 - (1 - kept) / (kept * SCALE[:, None] ** 2 + 1 - kept)  # E (noise - best)²
    loss = (0.5 * beta**2 / ((1 - kept) * (1 - beta)) * error / v).sum() + (ratio - 1 - ratio.log()).sum()
    loss += math.log(2 * math.pi) + v[0].log()
    last = kept[-1]
    loss += 0.5 * (last * (LOC**2 + SCALE**2) - last - torch.log1p(-last)).sum()
    return (loss - ENTROPY).item()


@pytest.mark.parametrize("variance", ["small", "large"])
@pytest.mark.parametrize("steps", [20, 100])
def test_the_gap_is_that_of_the_exact_chain(steps, variance):
    levels = noise_levels.linear(steps)
    exact = exact_gap(levels, variance)
    of_this_sample = (P.log_prob(X[:, None]).mean() + ENTROPY).item()
    mean, standard_error = gap(levels, variance)
    assert mean == pytest.approx(exact + of_this_sample, abs=4 * standard_error)
    assert exact > 0


def test_a_bound_that_lacks_a_term_or_its_weights_is_seen():
    """With noise left at the last level each term counts: without it the mean is above log p, or far below."""
    levels = noise_levels.linear(100, 1e-3, 0.03)
    model = diffusion.build(Best(levels), levels)
    bound = model.bound({}, X, keys.fold_in(KEY, 1))
    log_p = P.log_prob(X[:, None])[:, 0]
    away = log_p - bound.elbo
    error = away.std().item() / len(X) ** 0.5
    assert -3 * error < away.mean() < 0.2
    without_prior = away - bound.prior
    assert without_prior.mean() < -4 * without_prior.std() / len(X) ** 0.5
    assert (away + bound.reconstruction).mean() > 2
    simple = 0.5 * 99 * model.loss({}, X, KEY)  # every transition with the weight of the simplified loss
    assert (away - bound.transitions.sum(1) + simple).mean() > 10


@pytest.mark.parametrize("planted", [0.9, 1.1])
def test_noise_that_is_off_lowers_the_bound(planted):
    levels = noise_levels.linear(100)
    assert gap(levels, factor=planted)[0] > gap(levels)[0] + 0.05


def of_smooth_densities(levels):
    """Nats a coordinate that small variances, r of beta_t, lose where p's own are beta_t: (1 / r - 1 + log r) / 2."""
    kept = levels.kept()
    r = (1 - kept[:-1]) / (1 - kept[1:])
    return 0.5 * (1 / r - 1 + r.log()).sum().item()


def test_small_variances_lose_nats_that_more_steps_do_not_give_back():
    """What they lose is off the formula by O(1 / steps), and that falls to half of Euler's constant."""
    off = []
    for steps in (400, 800, 1600):
        levels = noise_levels.linear(steps)
        lost = exact_gap(levels, "small") - exact_gap(levels, "large")
        off.append(2 * of_smooth_densities(levels) - lost)
        assert lost / 2 > np.euler_gamma / 2
    assert [off[0] / off[1], off[1] / off[2]] == pytest.approx([2, 2], rel=0.01)
    for build in (noise_levels.linear, noise_levels.cosine):
        above = [of_smooth_densities(build(steps)) - np.euler_gamma / 2 for steps in (10**4, 10**5, 10**6)]
        assert above[0] > above[1] > above[2] > 0  # about log(steps) / steps, times 50 where the levels are linear
        assert above[2] < 50 * math.log(10**6) / 10**6


def test_terms_sum_and_the_prior_is_closed():
    levels = noise_levels.linear(40)
    model = diffusion.build(Best(levels), levels)
    bound = model.bound({}, X, KEY)
    assert bound.transitions.shape == (len(X), 39)
    torch.testing.assert_close(bound.elbo, bound.reconstruction - bound.transitions.sum(1) - bound.prior)
    last = levels.kept()[-1]
    q = DiagNormal(last.sqrt() * X, 0.5 * (1 - last).log() * torch.ones_like(X))
    torch.testing.assert_close(bound.prior, q.kl(DiagNormal(torch.zeros_like(X), torch.zeros_like(X))))


@pytest.mark.parametrize("variance", ["small", "large"])
def test_samples_have_the_datas_moments(variance):
    levels = noise_levels.linear(150)
    model = diffusion.build(Best(levels), levels, variance)
    drawn = model.sample({}, KEY, 8_000, DOUBLE)
    moments(drawn, 0.03)


@pytest.mark.parametrize(("eta", "steps"), [(0.0, 150), (0.0, 50), (1.0, 150)])
def test_implicit_samples_too(eta, steps):
    levels = noise_levels.linear(150)
    model = diffusion.build(Best(levels), levels)
    moments(model.implicit({}, KEY, 8_000, steps, eta, DOUBLE), 0.05)


def moments(drawn, bias):
    """Means and deviations, within four standard errors and what is known to be lost to the steps."""
    n = len(drawn)
    assert ((drawn.mean(0) - LOC).abs() < 4 * SCALE / n**0.5 + bias * SCALE).all()
    assert ((drawn.std(0) / SCALE - 1).abs() < 4 / (2 * n) ** 0.5 + bias).all()


def test_implicit_samples_of_eta_0_are_a_function_of_the_first_draw():
    levels = noise_levels.linear(50)
    model = diffusion.build(Best(levels), levels)
    few = model.implicit({}, KEY, 5, 10, dtype=DOUBLE)
    torch.testing.assert_close(model.implicit({}, KEY, 3, 10, dtype=DOUBLE), few[:3])
    start = keys.normal(keys.fold_in(KEY, 0), (1, 5, 2), DOUBLE)[0]
    assert torch.corrcoef(torch.stack([few[:, 0], start[:, 0]]))[0, 1] > 0.99


def test_the_loss_is_least_at_the_best_noise():
    levels = noise_levels.linear(100)

    def loss(factor):
        return diffusion.build(Best(levels, factor), levels).loss({}, X, KEY).mean()

    assert loss(1.0) < min(loss(0.9), loss(1.1))


def test_levels_fall_from_nearly_1_to_nearly_0():
    for levels in (
        noise_levels.linear(1000),
        noise_levels.linear(50),
        noise_levels.cosine(1000),
        noise_levels.cosine(50),
    ):
        kept = levels.kept()
        assert (kept.diff() < 0).all()
        assert kept[0] > 0.95
        assert 0 < kept[-1] < 1e-4
    paper = noise_levels.linear(1000)
    assert (paper.first, paper.last) == (1e-4, 0.02)


def test_a_network_is_differentiable_and_starts_at_0():
    model = diffusion.build(fields.mlp(2, (8,)), noise_levels.linear(10))
    params = model.init(KEY, DOUBLE)
    assert (model.predicted(params, X[:3], torch.tensor([1, 5, 10])) == 0).all()
    slope = grad(lambda p: model.loss(p, X[:3], KEY).mean())(params)
    assert slope["1"]["weight"].abs().max() > 0


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: noise_levels.linear(1), "expected steps, a whole number >= 2, got 1"),
        (lambda: noise_levels.linear(10, 0.5, 0.1), "expected first of at most last, got 0.5 and 0.1"),
        (lambda: diffusion.build(fields.Mlp, noise_levels.linear()), "expected field, such as fields.mlp"),
        (lambda: diffusion.build(fields.mlp(2), 100), "expected levels, such as noise_levels.linear"),
        (lambda: diffusion.build(fields.mlp(2), noise_levels.linear(), "none"), 'expected variance "small" or "large"'),
        (lambda: diffusion.build(fields.mlp(2), noise_levels.linear(9)).implicit({}, KEY, 1, 10), "of at most the 9"),
        (lambda: diffusion.build(fields.mlp(3), noise_levels.linear(9)).loss({}, X, KEY), r"expected x \(n, 3\), got"),
    ],
)
def test_refusals(call, message):
    with pytest.raises((TypeError, ValueError), match=message):
        call()

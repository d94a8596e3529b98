"""Baselines by their formulas, sample by sample."""

import math

import pytest
import torch
from torch.func import grad, vmap

from jensen.core import bounds, keys
from jensen.core.distributions import Bernoulli, DiagNormal
from jensen.estimators import gradients as g
from jensen.estimators.gradients import baselines, catalogue

KEY = keys.key(3)
F64 = torch.float64
LOG_W = torch.tensor([[0.5, -1.0], [2.0, 0.3], [-0.7, 1.1], [0.1, 0.0]], dtype=F64)
HALF = bounds.Renyi(0.5)


def without(i):
    return torch.cat([LOG_W[:i], LOG_W[i + 1 :]])


@pytest.mark.parametrize("bound", [bounds.elbo, bounds.iwae, HALF, bounds.vr_max])
def test_leave_one_out_is_the_bound_of_the_others(bound):
    expected = torch.stack([bound(without(i)) for i in range(4)])
    torch.testing.assert_close(baselines.leave_one_out(bound, LOG_W), expected)


@pytest.mark.parametrize("bound", [bounds.iwae, HALF])
def test_vimco_puts_the_others_geometric_mean_in_place_of_each(bound):
    expected = torch.stack([bound(torch.cat([without(i), without(i).mean(0, keepdim=True)])) for i in range(4)])
    torch.testing.assert_close(baselines.vimco(bound, LOG_W), expected)


POWERS = torch.tensor([0.3, 1.0], dtype=F64)  # of each datum's weights


def of_each_datum(log_w):
    """A bound that is another one for each datum."""
    return ((POWERS * log_w).logsumexp(0) - math.log(len(log_w))) / POWERS


@pytest.mark.parametrize("datum", [0, 1])
def test_a_bound_may_be_another_for_each_datum(datum):
    alone, column = bounds.Renyi(1 - float(POWERS[datum])), LOG_W[:, datum, None]
    for baseline in (baselines.leave_one_out, baselines.vimco):
        torch.testing.assert_close(baseline(of_each_datum, LOG_W)[:, datum, None], baseline(alone, column))


def test_a_bound_may_group_its_samples():
    """Two groups of two: the others are three, and vimco swaps within a group."""
    grouped = lambda log_w: log_w.unflatten(0, (2, -1)).logsumexp(1).mean(0) - math.log(2)  # noqa: E731
    torch.testing.assert_close(baselines.vimco(grouped, LOG_W), baselines.vimco(bounds.Miwae(2, 2), LOG_W))
    with pytest.raises(ValueError, match="leave_one_out needs the bound of 3 samples: use vimco") as refused:
        baselines.leave_one_out(grouped, LOG_W)
    assert "\n" not in str(refused.value)


def test_a_bound_may_weigh_its_samples_unequally():
    """It is additive for its number of samples, so that the mean of the others is a baseline."""
    shares = torch.tensor([0.4, 0.3, 0.2, 0.1], dtype=F64)[:, None]
    found = baselines.leave_one_out(lambda log_w: (shares * log_w).sum(0), LOG_W)
    torch.testing.assert_close(found, torch.stack([without(i).mean(0) for i in range(4)]))


@pytest.mark.parametrize("name", ["stl", "score", "vargrad", "disarm", "pathwise", "dreg", "wake"])
def test_estimators_take_a_bound_of_each_datum(name):
    """A mean of log weights in powers of each datum's own: refused by those of the ELBO, and by name."""
    q = next(q for q in (Bernoulli(LOG_W.T), DiagNormal(LOG_W.T, 0 * LOG_W.T)) if catalogue.ROWS[name].q.met(q))
    log_p, noise = (lambda z: z.sum(-1)), q.noise(KEY, 4)
    if catalogue.ROWS[name].bounds == "additive":
        with pytest.raises(ValueError, match=f"{name} needs the ELBO, got bound = "):
            getattr(g, name)(log_p, q, noise, bound=of_each_datum)
        return
    slopes = grad(lambda q: getattr(g, name)(log_p, q, noise, bound=of_each_datum).sum())(q)
    for datum in range(2):
        alone = bounds.Renyi(1 - float(POWERS[datum]))
        one = grad(lambda q, alone=alone: getattr(g, name)(log_p, q, noise, bound=alone)[datum])(q)  # noqa: B023
        for slope, expected in zip(slopes, one, strict=True):
            torch.testing.assert_close(slope[datum], expected[datum])


def test_a_bound_may_be_mapped_over_its_parameters():
    q, powers = DiagNormal(LOG_W.T, 0 * LOG_W.T), torch.tensor([0.2, 0.5, 1.0], dtype=F64)
    noise = q.noise(KEY, 4)

    def value(power):
        bound = lambda log_w: ((power * log_w).logsumexp(0) - math.log(4)) / power  # noqa: E731
        return g.pathwise(lambda z: z.sum(-1), q, noise, bound=bound)

    torch.testing.assert_close(vmap(value)(powers), torch.stack([value(power) for power in powers]))


def test_optimal_weights_the_others_by_the_square_of_their_score():
    q = Bernoulli(torch.tensor([[0.3, -1.0], [2.0, 0.5]], dtype=F64))
    z = q.sample(q.noise(KEY, 4))
    square = (z - torch.sigmoid(q.logits)).square().sum(-1)  # |grad log q|^2, (4, 2)
    rows = [[j for j in range(4) if j != i] for i in range(4)]
    expected = torch.stack([(LOG_W[r] * square[r]).sum(0) / square[r].sum(0) for r in rows])
    torch.testing.assert_close(baselines.optimal(bounds.elbo, LOG_W, q, z), expected)


@pytest.mark.parametrize("baseline", [baselines.leave_one_out, baselines.vimco])
def test_the_short_way_of_iwae_is_the_long_way(baseline):
    """Subsets and swaps are listed for any bound; for this one they need not be."""
    log_w = 5 * keys.normal(KEY, (6, 4), F64)
    log_w[0, 1] = 800.0
    log_w[2:, 2] = -torch.inf
    log_w[:, 3] = -torch.inf
    long = baseline(lambda t: bounds.iwae(t), log_w)
    torch.testing.assert_close(baseline(bounds.iwae, log_w), long, rtol=1e-12, atol=1e-12)


def test_a_baseline_keeps_no_trace_of_its_own_sample():
    """Not even of its rounding."""
    found = baselines.leave_one_out(bounds.elbo, torch.tensor([[-1e9], [1.0], [2.0], [3.0]]))
    assert found[0, 0] == 2.0
    q = Bernoulli(torch.full((1, 1), 10.0))
    z = torch.tensor([[[0.0]], [[1.0]], [[1.0]]])
    found = baselines.optimal(bounds.elbo, torch.tensor([[-3.0], [-5.0], [-5.0]]), q, z)
    torch.testing.assert_close(found[0], torch.tensor([-5.0]))


def test_learned_baselines_learn_and_do_not_leak():
    q, u = Bernoulli(torch.zeros(3, 4)), torch.full((1, 3, 4), 0.3)
    prediction = torch.zeros(3)

    def loss(prediction):
        learned = baselines.Learned(prediction)
        value = g.score(lambda z: z.sum(-1), q, u, baseline=learned)
        return -value.sum() + learned.loss(value).sum()

    value = g.score(lambda z: z.sum(-1), q, u)
    torch.testing.assert_close(grad(loss)(prediction), -2 * value)
    with_logits = grad(
        lambda t: baselines.Learned(prediction).loss(g.score(lambda z: z.sum(-1), Bernoulli(t), u)).sum()
    )
    assert (with_logits(q.logits) == 0).all()
    infinite = torch.tensor([-math.inf, 1.0, 2.0])
    torch.testing.assert_close(baselines.Learned(prediction).loss(infinite), torch.tensor([0.0, 1.0, 4.0]))
    assert grad(lambda t: baselines.Learned(t).loss(infinite).sum())(prediction)[0] == 0


def test_the_running_mean_forgets():
    state = baselines.RunningMean.start(torch.zeros(()))
    zero = torch.zeros(1, 2)
    assert state(bounds.elbo, zero).tolist() == [[0.0, 0.0]]
    state = state.update(torch.tensor([1.0, 3.0]))
    torch.testing.assert_close(state(bounds.elbo, zero), torch.full((1, 2), 2.0))
    state = state.update(torch.tensor([12.0], requires_grad=True), decay=0.9)
    torch.testing.assert_close(state(bounds.elbo, zero), torch.full((1, 2), (0.9 * 0.1 * 2 + 1.2) / 0.19))
    assert not state.total.requires_grad


def test_the_running_mean_leaves_bounds_without_a_value_out():
    state = baselines.RunningMean.start(torch.zeros(())).update(torch.tensor([-math.inf, 3.0]))
    torch.testing.assert_close(state(bounds.elbo, torch.zeros(1, 1)), torch.tensor([[3.0]]))
    same = state.update(torch.full((2,), -math.inf))
    assert all(torch.equal(a, b) for a, b in zip(same, state, strict=True))
    assert state.update(torch.tensor([math.nan, 1.0])).total.isnan()  # never hidden

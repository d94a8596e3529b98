"""Biased estimators are biased by what they say, and unbiased in the limit that they name."""

from functools import partial

import pytest
import torch
from torch.func import grad

from jensen import laws
from jensen.core import bounds, keys, trees
from jensen.core.distributions import Bernoulli
from jensen.estimators import gradients as g
from jensen.estimators.diagnostics import quality
from jensen.laws import gates

BERNOULLIS, CATEGORICALS = gates.four_bernoullis(), gates.three_categoricals()


def of_phi(gate, estimate, s, bound=gates.elbo, exact=None, reps=20_000):
    truth = exact or gate.exact(bound, 1 if bound is gates.elbo else s)
    gradient = gate.gradient(estimate, s)
    return quality(lambda key: gradient(gate.params, key), keys.split(gates.KEY, reps), truth)


SIZES = {  # the bias of phi's gradient over its norm, and the part of that along the gradient: its sign
    "straight through": (g.straight_through, {"Bernoullis": (0.139, 0.084), "categoricals": (0.163, -0.017)}),
    "Gumbel straight through": (
        partial(g.gumbel_straight_through, temperature=1.0),
        {"Bernoullis": (0.228, -0.217), "categoricals": (0.278, -0.177)},
    ),
    "Concrete, 1": (
        partial(g.concrete, temperature=1.0),
        {"Bernoullis": (0.243, -0.236), "categoricals": (0.264, -0.160)},
    ),
    "Concrete, 0.5": (
        partial(g.concrete, temperature=0.5),
        {"Bernoullis": (0.080, -0.069), "categoricals": (0.121, -0.036)},
    ),
}


@pytest.mark.parametrize(("name", "gate"), [("Bernoullis", BERNOULLIS), ("categoricals", CATEGORICALS)])
@pytest.mark.parametrize("kind", SIZES)
def test_relaxations_are_biased_for_phi_by_a_stated_amount_and_not_for_theta(kind, name, gate):
    """By more than 10 standard errors; relaxing mostly shortens the gradient."""
    estimate, sizes = SIZES[kind]
    found = of_phi(gate, estimate, 2)
    assert found["theta"].errors < 4, found["theta"]
    assert found["phi"].errors > 10, found["phi"]
    exact = gate.exact(gates.elbo, 1)["phi"]["logits"]
    bias = gate.draws(estimate, 2, key=keys.key(5))["phi"]["logits"].mean(0) - exact
    size, along = bias.norm() / exact.norm(), (bias * exact).sum() / exact.square().sum()
    assert abs(size - sizes[name][0]) < 0.02, size
    assert abs(along - sizes[name][1]) < 0.02, along


@pytest.mark.parametrize("gate", [BERNOULLIS, CATEGORICALS], ids=["Bernoullis", "categoricals"])
def test_the_bias_of_concrete_vanishes_with_the_temperature_and_its_variance_grows(gate):
    warm, mild, cold = (of_phi(gate, partial(g.concrete, temperature=t), 2)["phi"] for t in (1.0, 0.4, 0.05))
    assert warm.bias > 1.5 * mild.bias > 1.5 * cold.bias
    assert cold.errors < 4, cold
    assert warm.variance < mild.variance < cold.variance


def test_straight_through_is_exact_where_log_w_is_linear():
    """f(z) = a z for single Bernoullis: its derivative is everything there is to know of it."""
    slopes = torch.tensor([1.0, -2.0, 0.5, 3.0], dtype=torch.float64)
    logits = torch.zeros(2, 4, dtype=torch.float64)

    def value(logits, u):
        q = Bernoulli(logits)
        return g.straight_through(lambda z: (z * slopes).sum(-1), q, u).sum()

    def exact(logits):
        q = Bernoulli(logits)
        return ((q.mean() * slopes).sum(-1) + q.entropy()).sum()

    u = keys.uniform(gates.KEY, (3, 2, 4), torch.float64)
    torch.testing.assert_close(grad(value)(logits, u), grad(exact)(logits))


@pytest.mark.parametrize(
    ("gate", "s", "reps"), [(BERNOULLIS, 16, 8000), (CATEGORICALS, 64, 4000)], ids=["Bernoullis", "categoricals"]
)
def test_wake_phi_tends_to_the_inclusive_divergence_as_one_over_s(gate, s, reps):
    """Self-normalised: biased by 10 standard errors at s = 2, and by a quarter as much with four times the samples."""

    def inclusive(phi):
        z, _ = gate.points(phi)
        posterior = torch.softmax(gate.log_joint(gate.params["theta"], z), 0)
        return (posterior * gate.log_q(phi, z)).sum()

    exact = {"theta": gate.exact(gates.iwae, 2)["theta"], "phi": grad(inclusive)(gate.params["phi"])}
    few, more, many = (of_phi(gate, g.wake, k, exact=exact, reps=reps)["phi"] for k in (2, s, 4 * s))
    assert few.errors > 10, few
    assert 2.5 < more.bias / many.bias < 6, (more.bias, many.bias)


def test_wake_theta_is_the_gradient_of_iwae():
    for gate in (gates.linear_gaussian(), BERNOULLIS):
        found = of_phi(gate, g.wake_theta, 2, gates.iwae)
        assert found["theta"].errors < 4
        assert found["phi"].norm == 0


def test_wake_is_both_and_each_leaves_the_other_alone():
    gate = BERNOULLIS
    both, theta, phi = (gate.draws(f, 3, reps=5) for f in (g.wake, g.wake_theta, g.wake_phi))
    for name, value in both["theta"].items():
        assert torch.equal(value, theta["theta"][name])
        assert not phi["theta"][name].any()
    assert torch.equal(both["phi"]["logits"], phi["phi"]["logits"])


def test_sleep_phi_learns_the_posterior_of_dreams():
    """Its mean gradient over exact draws of the model is that of the averaged inclusive divergence."""
    gate = BERNOULLIS
    z = gate.points(gate.params["phi"])[0][:, 0]
    weights = torch.softmax(torch.arange(len(z), dtype=torch.float64) / 7, 0)  # any distribution over dreams

    def mean_over_dreams(logits):
        q = Bernoulli(logits.expand(len(z), 4))
        return (weights * g.sleep_phi(q, z)).sum()

    logits = gate.params["phi"]["logits"][0]
    exact = (weights[:, None] * (z - torch.sigmoid(logits))).sum(0)
    torch.testing.assert_close(grad(mean_over_dreams)(logits), exact)


def test_stl_is_biased_for_several_samples_and_dreg_is_not():
    gate = gates.linear_gaussian()

    def stuck(log_p, q, noise):
        z = q.sample(noise)
        return bounds.iwae(log_p(z) - trees.stop(q).log_prob(z))

    wrong = of_phi(gate, stuck, 2, gates.iwae)
    assert wrong["phi"].errors > 10
    assert wrong["theta"].errors < 4
    laws.mean_is(gate.draws(g.dreg, 2, reps=20_000)["phi"]["loc"], gate.exact(gates.iwae, 2)["phi"]["loc"])


def test_tail_adaptive_weights_favour_large_weights_and_vanish_at_the_posterior():
    log_w = torch.tensor([[0.0], [3.0], [-1.0], [1.0]], dtype=torch.float64)
    weights = bounds.derivatives(bounds.TailAdaptive(), log_w)[0][:, 0]
    torch.testing.assert_close(weights, torch.tensor([4 / 3, 4.0, 1.0, 2.0], dtype=torch.float64) / (4 / 3 + 7))
    flat = bounds.derivatives(bounds.TailAdaptive(0.0), log_w)[0]
    torch.testing.assert_close(flat, torch.full_like(flat, 0.25))
    gate = gates.linear_gaussian()
    adaptive = gate.draws(partial(g.dreg, bound=bounds.TailAdaptive()), 10, reps=1000)["phi"]["loc"].mean(0)
    mass = gate.draws(partial(g.dreg, bound=bounds.TailAdaptive(0.0)), 10, reps=1000)["phi"]["loc"].mean(0)
    ordinary = gate.draws(g.stl, 10, reps=1000)["phi"]["loc"].mean(0)
    torch.testing.assert_close(mass, ordinary)
    assert (adaptive - ordinary).abs().max() > 0.1

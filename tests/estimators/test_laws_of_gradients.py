"""What holds of every estimator's value and gradient, draw by draw."""

import math
from functools import partial

import pytest
import torch
from torch.func import grad, vmap

from jensen.core import bounds, keys, trees
from jensen.core.distributions import Bernoulli
from jensen.estimators import gradients as g
from jensen.estimators.diagnostics import quality
from jensen.estimators.gradients import baselines
from jensen.laws import gates
from tests.estimators.test_gates import GATES

KEY = keys.key(3)
VIMCO = partial(g.score, bound=bounds.iwae, baseline=baselines.vimco)
OF_ELBO = {
    "linear Gaussian": [g.pathwise, g.stl, g.score, g.vargrad, g.measure_valued],
    "four Bernoullis": [
        g.score, partial(g.score, baseline=baselines.leave_one_out), g.vargrad, g.muprop, g.straight_through,
        g.gumbel_straight_through, g.concrete, g.rebar, g.arm, g.disarm, g.measure_valued,
        partial(g.relax, control=lambda t: t.sum(-1)),
    ],
    "three categoricals": [
        g.score, g.vargrad, g.muprop, g.straight_through, g.gumbel_straight_through, g.concrete, g.rebar, g.arsm,
    ],
}  # fmt: skip
OF_IWAE = {
    "linear Gaussian": [partial(g.pathwise, bound=bounds.iwae), g.dreg, VIMCO, g.wake, g.wake_theta, g.wake_phi],
    "four Bernoullis": [VIMCO, partial(g.straight_through, bound=bounds.iwae), g.wake, g.wake_theta, g.wake_phi],
}


@pytest.mark.parametrize("gate", OF_ELBO)
@pytest.mark.parametrize(("bound", "family"), [(bounds.elbo, OF_ELBO), (bounds.iwae, OF_IWAE)], ids=["elbo", "iwae"])
def test_the_value_is_the_bound_bit_for_bit(gate, bound, family):
    model = GATES[gate]
    q = model.posterior(model.params["phi"])
    z = q.sample(q.noise(KEY, 4))
    expected = bound(model.log_joint(model.params["theta"], z) - q.log_prob(z))
    for estimate in family.get(gate, ()):
        assert torch.equal(model.value(estimate, 4, model.params, KEY), expected), estimate


def exact_posterior():
    """A linear-Gaussian model with one latent, and its posterior as q."""
    gate = gates.linear_gaussian()
    model = gates.LinearGaussian(**gate.params["theta"], x=gates.random(2, 2, 3))
    mean, covariance = model.posterior()
    phi = {"loc": mean, "log_scale": 0.5 * torch.log(covariance).expand_as(mean)}
    return gate._replace(params={"theta": gate.params["theta"], "phi": phi})


@pytest.mark.parametrize(("estimate", "s"), [(g.stl, 1), (g.stl, 5), (g.dreg, 2), (g.dreg, 50)])
def test_the_gradient_of_an_exact_posterior_is_zero(estimate, s):
    gradients = exact_posterior().draws(estimate, s, reps=20)["phi"]
    for value in gradients.values():
        assert value.abs().max() < 1e-12
    assert exact_posterior().draws(g.pathwise, s, reps=20)["phi"]["log_scale"].abs().max() > 0.1


def test_the_signal_of_iwae_fades_with_samples_and_dregs_does_not():
    """log-log slopes of the phi-gradient's SNR against K: -1/2 for pathwise (Rainforth et al., 2018), +1/2 for dreg."""
    gate = exact_posterior()
    phi = gate.params["phi"]
    gate.params["phi"] = {"loc": phi["loc"] + 0.3, "log_scale": phi["log_scale"] + 0.1}
    counts = [8, 32, 128]

    def of_phi(gradient, key):
        return gradient(gate.params, key)["phi"]

    def slope(estimate):
        found = []
        for k in counts:
            parts = quality(partial(of_phi, gate.gradient(estimate, k)), keys.split(KEY, 3000), chunk=500)
            found.append(math.log(math.hypot(*(float(p.norm) / float(p.variance) ** 0.5 for p in parts.values()))))
        x = torch.tensor(counts).log()
        return float(((x - x.mean()) * torch.tensor(found)).sum() / (x - x.mean()).square().sum())

    assert -0.65 < slope(partial(g.pathwise, bound=bounds.iwae)) < -0.35
    assert 0.35 < slope(g.dreg) < 0.65


def test_vargrad_is_leave_one_out_sample_by_sample():
    for gate in GATES.values():
        one, other = (
            gate.draws(f, 4, reps=10) for f in (g.vargrad, partial(g.score, baseline=baselines.leave_one_out))
        )
        for a, b in zip(trees.leaves(one), trees.leaves(other), strict=True):
            torch.testing.assert_close(a, b, rtol=1e-10, atol=1e-10)


def test_dreg_of_any_bound_differentiates_it_twice():
    """What is written down for IWAE and Renyi is what differentiating them gives."""
    log_w = gates.random(0, 5, 3)
    for bound in (bounds.elbo, bounds.iwae, bounds.Renyi(0.3), bounds.Renyi(1.0), bounds.Renyi(2.0)):
        ours, generic = bounds.derivatives(bound, log_w), bounds.derivatives(lambda w, f=bound: f(w), log_w)
        for a, b in zip(ours, generic, strict=True):
            torch.testing.assert_close(a, b, rtol=1e-9, atol=1e-11)


OWN = lambda log_w: log_w.mean(0)  # noqa: E731
TOGETHER = [
    ("linear Gaussian", [g.stl, g.dreg, VIMCO]),
    ("four Bernoullis", [
        g.straight_through, g.concrete, g.rebar, g.disarm, g.wake, g.muprop, g.measure_valued,
        partial(g.score, bound=OWN, baseline=baselines.leave_one_out),
    ]),
    ("three categoricals", [g.rebar, g.arsm, partial(g.sum_and_sample, top=5)]),
]  # fmt: skip


@pytest.mark.parametrize(
    ("gate", "estimates", "backend"),
    [
        pytest.param("linear Gaussian", [g.dreg], "aot_eager", id="dreg"),
        pytest.param("four Bernoullis", [g.rebar], "aot_eager", id="rebar"),
        *(
            pytest.param(gate, estimates, backend, marks=pytest.mark.slow, id=f"{gate}, {backend}")
            for gate, estimates in TOGETHER
            for backend in ("aot_eager", "inductor")
        ),
    ],
)
def test_compiled_gradients_are_eager_ones(gate, estimates, backend):
    """One graph of all, mapped over keys: a gradient that a compiler drops would differ (PyTorch issue 129845)."""
    model = GATES[gate]

    def every(params, key):
        return [model.gradient(f, 4)(params, key) for f in estimates]

    mapped = vmap(every, in_dims=(None, 0))
    batch = keys.split(KEY, 3)
    eager, compiled = (
        mapped(model.params, batch),
        torch.compile(mapped, fullgraph=True, backend=backend)(model.params, batch),
    )
    for a, b in zip(trees.leaves(eager), trees.leaves(compiled), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("gate", OF_ELBO)
def test_chunks_of_particles_have_the_mean_of_the_whole(gate):
    model = GATES[gate]
    for estimate in OF_ELBO[gate]:
        if estimate in (g.vargrad,) or getattr(estimate, "keywords", {}).get("baseline") is baselines.leave_one_out:
            continue  # these compare the samples of one call
        whole = model.gradient(estimate, 6)(model.params, KEY)
        parts = [model.gradient(estimate, 2)(model.params, keys.at(KEY, particle=start)) for start in (0, 2, 4)]
        mean = trees.map(lambda *each: sum(each) / 3, *parts)
        for a, b in zip(trees.leaves(whole), trees.leaves(mean), strict=True):
            torch.testing.assert_close(a, b, rtol=1e-9, atol=1e-9)


def test_a_temperature_may_be_a_tensor():
    gate = GATES["four Bernoullis"]
    for estimate in (g.concrete, g.gumbel_straight_through, g.rebar):
        number, tensor = (
            gate.draws(partial(estimate, temperature=t), 2, reps=3)["phi"]["logits"]
            for t in (0.3, torch.tensor(0.3, dtype=torch.float64))
        )
        torch.testing.assert_close(number, tensor)


def test_second_moment_is_that_of_relax_and_moves_its_control_alone():
    gate, u = gates.four_bernoullis(), keys.uniform(KEY, (3, 2, 4), torch.float64)
    q = gate.posterior(gate.params["phi"])

    def log_p(z):
        return gate.log_joint(gate.params["theta"], z)

    def control(scale):
        return lambda t: torch.tanh(scale * t).sum(-1)

    scale = torch.tensor(0.7, dtype=torch.float64)
    found = g.second_moment(log_p, q, u, control=control(scale))
    gradient = grad(lambda logits: g.relax(log_p, Bernoulli(logits), u, control=control(scale)).sum())(q.logits)
    torch.testing.assert_close(found, gradient.square().sum(-1))
    slope = grad(lambda scale: g.second_moment(log_p, q, u, control=control(scale)).sum())(scale)
    step = 1e-6
    ahead, behind = (g.second_moment(log_p, q, u, control=control(scale + d)).sum() for d in (step, -step))
    torch.testing.assert_close(slope, (ahead - behind) / (2 * step), rtol=1e-6, atol=1e-6)
    assert grad(lambda scale: g.relax(log_p, q, u, control=control(scale)).sum())(scale) == 0
    assert not grad(lambda logits: g.second_moment(log_p, Bernoulli(logits), u, control=control(scale)).sum())(
        q.logits
    ).any()

"""Estimators refuse a posterior, a bound or options that they are not defined for, and name one that is."""

import pytest
import torch

from jensen.core import bounds, keys
from jensen.core.distributions import Bernoulli, Categorical, DiagNormal, Gamma, Given, Hierarchical, Joint
from jensen.estimators import gradients as g
from jensen.estimators.gradients import baselines

KEY = keys.key(3)
NORMAL, BINARY = DiagNormal(torch.zeros(2, 3), torch.zeros(2, 3)), Bernoulli(torch.zeros(2, 3))
CHOICE = Categorical(torch.zeros(2, 3, 4))
GAMMA = Gamma(torch.ones(2, 3), torch.ones(2, 3))
NAMED = Joint(z=NORMAL, c=Given({}, lambda params, z: Bernoulli(z["z"])))
MIXED = Hierarchical.of((NORMAL, 3), (Given({}, lambda params, z: Bernoulli(z)), 3))
TWO = Hierarchical.of((BINARY, 3), (Given({"w": torch.zeros(())}, lambda params, z: Bernoulli(z[..., :2])), 2))


@pytest.mark.parametrize(
    ("call", "error", "alternative"),
    [
        (lambda p: g.stl(p, BINARY, BINARY.noise(KEY, 2)), TypeError, "use disarm, or score with a baseline"),
        (lambda p: g.dreg(p, BINARY, BINARY.noise(KEY, 2)), TypeError, "use disarm, or score with a baseline"),
        (lambda p: g.stl(p, NORMAL, NORMAL.noise(KEY, 2), bound=bounds.iwae), ValueError, "needs the ELBO.*use dreg"),
        (lambda p: g.stl(p, NORMAL, NORMAL.noise(KEY, 2), bound=bounds.TailAdaptive()), ValueError, "use dreg"),
        (lambda p: g.rebar(p, BINARY, BINARY.noise(KEY, 2), bound=bounds.Cubo()), ValueError, "use score"),
        (lambda p: g.exact(p, BINARY, bound=bounds.iwae), ValueError, "use score"),
        (lambda p: g.wake_phi(p, BINARY, BINARY.noise(KEY, 2), bound=bounds.elbo), ValueError, "use score"),
        (lambda p: g.score(p, BINARY, BINARY.noise(KEY, 1), baseline=baselines.vimco), ValueError, "draw more, or use"),
        (
            lambda p: g.score(p, BINARY, BINARY.noise(KEY, 2), bound=bounds.iwae, baseline=baselines.optimal),
            ValueError,
            "use leave_one_out or vimco",
        ),
        (
            lambda p: g.score(p, TWO, TWO.noise(KEY, 2), baseline=baselines.optimal),
            TypeError,
            "use leave_one_out",
        ),
        (lambda p: g.disarm(p, TWO, TWO.noise(KEY, 2)), TypeError, "use score"),
        (lambda p: g.rebar(p, TWO, TWO.noise(KEY, 2)), TypeError, "use score with a baseline"),
        (lambda p: g.vargrad(p, BINARY, BINARY.noise(KEY, 1)), ValueError, "draw more, or use score"),
        (lambda p: g.wake_phi(p, BINARY, BINARY.noise(KEY, 1)), ValueError, "sleep_phi"),
        (lambda p: g.muprop(p, NORMAL, NORMAL.noise(KEY, 2)), TypeError, "use pathwise, stl or dreg"),
        (lambda p: g.rebar(p, NORMAL, NORMAL.noise(KEY, 2)), TypeError, "use pathwise, stl or dreg"),
        (lambda p: g.concrete(p, BINARY, BINARY.noise(KEY, 2), temperature=0.0), ValueError, r"in \(0, inf\)"),
        (lambda p: g.disarm(p, CHOICE, CHOICE.noise(KEY, 2)), TypeError, "use arsm"),
        (lambda p: g.arm(p, NORMAL, NORMAL.noise(KEY, 2)), TypeError, "use pathwise"),
        (lambda p: g.arsm(p, BINARY, BINARY.noise(KEY, 2)), TypeError, "use disarm"),
        (lambda p: g.measure_valued(p, CHOICE, CHOICE.noise(KEY, 2)), TypeError, "or score with a baseline"),
        (lambda p: g.exact(p, NORMAL), TypeError, "use pathwise, stl or dreg"),
        (lambda p: g.exact(p, Bernoulli(torch.zeros(1, 30))), ValueError, "use disarm or score"),
        (lambda p: g.sum_and_sample(p, BINARY, BINARY.noise(KEY, 1), top=8), ValueError, "use exact"),
        (
            lambda p: g.score(p, BINARY, BINARY.noise(KEY, 1), baseline=baselines.Learned(torch.zeros(2, 1))),
            ValueError,
            "one per datum",
        ),
        (lambda p: g.score(lambda z: z.sum(), BINARY, BINARY.noise(KEY, 1)), ValueError, "sum over event axes"),
        (lambda p: g.dreg(p, NORMAL, NORMAL.noise(KEY, 2), bound=bounds.vr_max), ValueError, "use pathwise"),
        (
            lambda p: g.score(
                p, BINARY, BINARY.noise(KEY, 4), bound=bounds.Miwae(2, 2), baseline=baselines.leave_one_out
            ),
            ValueError,
            "use vimco",
        ),
        (
            lambda p: g.analytic_kl(p, GAMMA, GAMMA.noise(KEY, 2), prior=NORMAL),
            TypeError,
            "prior of q's family Gamma, got DiagNormal: use pathwise or stl",
        ),
        (lambda p: g.stl(p, TWO, TWO.noise(KEY, 2)), TypeError, "use score with a baseline$"),
        (lambda p: g.sum_and_sample(p, BINARY, torch.zeros(5, 1, 3), top=2), ValueError, "samples lead, then data"),
        (lambda p: g.arsm(p, CHOICE, torch.zeros(5, 2, 3)), ValueError, r"noise \(s, n, d, k\)"),
        (lambda p: g.pathwise(p, NAMED, NAMED.noise(KEY, 2)), TypeError, "got Joint: use mixed, or score"),
        (lambda p: g.pathwise(p, MIXED, MIXED.noise(KEY, 2)), TypeError, "got Hierarchical: use score with a baseline"),
    ],
)
def test_inapplicable_estimators_raise_and_name_an_alternative(call, error, alternative):
    with pytest.raises(error, match=alternative):
        call(lambda z: z.flatten(2).sum(-1))


@pytest.mark.parametrize("bound", [bounds.Renyi, None, "iwae"])
@pytest.mark.parametrize(
    ("estimate", "q"),
    [(g.pathwise, NORMAL), (g.stl, NORMAL), (g.dreg, NORMAL), (g.score, BINARY), (g.concrete, BINARY),
     (g.straight_through, BINARY), (g.gumbel_straight_through, BINARY)],
)  # fmt: skip
def test_an_invalid_bound_raises_before_log_p_is_called(estimate, q, bound):
    with pytest.raises(TypeError, match=r"expected bound, a function such as bounds\.iwae, got"):
        estimate(never, q, q.noise(KEY, 2), bound=bound)


@pytest.mark.parametrize("temperature", [0.0, -1.0, float("inf"), float("nan")])
@pytest.mark.parametrize("as_tensor", [False, True])
def test_an_invalid_temperature_raises_before_log_p_is_called(temperature, as_tensor):
    value = torch.tensor(temperature) if as_tensor else temperature
    for estimate in (g.concrete, g.gumbel_straight_through, g.rebar):
        with pytest.raises(ValueError, match=r"expected temperature in \(0, inf\), got"):
            estimate(never, BINARY, BINARY.noise(KEY, 2), temperature=value)
    with pytest.raises(ValueError, match=r"expected temperature in \(0, inf\), got"):
        g.relaxed_density(never, BINARY, value)


def test_several_temperatures_at_once_raise():
    with pytest.raises(ValueError, match=r"expected one temperature, got \(2, 1\)"):
        g.concrete(never, BINARY, BINARY.noise(KEY, 2), temperature=torch.ones(2, 1))


def never(z):
    raise AssertionError("log_p was called")

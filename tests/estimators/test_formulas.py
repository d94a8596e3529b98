"""Estimates of one draw beside their formulas, where a mean over draws would not see a slip."""

from functools import partial

import pytest
import torch
from scipy import stats
from torch.func import grad

from jensen import laws
from jensen.core import bounds, keys
from jensen.core.distributions import Bernoulli, Categorical, DiagNormal
from jensen.core.distributions.standard_normal import maxwell, rayleigh
from jensen.estimators import gradients as g

KEY = keys.key(5)
F64 = torch.float64
BINARY = Bernoulli(torch.tensor([[0.4, -1.2, 0.8], [0.1, 0.3, -2.0]], dtype=F64))
CHOICE = Categorical(keys.normal(KEY, (2, 6), F64).reshape(2, 2, 3))
SCALE = torch.tensor([0.7, -1.1, 0.4], dtype=F64)


def log_p(z):
    """Of units that act together, so that bounds differ."""
    flat = z.flatten(2)
    return torch.sin(flat * SCALE.repeat(flat.shape[-1] // 3)).sum(-1) ** 2


def slope(estimate, q, u):
    return grad(lambda logits: estimate(log_p, type(q)(logits), u).sum())(q.logits)


@pytest.mark.parametrize("q", [BINARY, CHOICE], ids=["binary", "choice"])
@pytest.mark.parametrize("bound", [bounds.elbo, bounds.iwae], ids=["elbo", "iwae"])
@pytest.mark.parametrize("temperature", [0.3, 1.5])
def test_concrete_is_the_slope_at_y_times_that_of_y(q, bound, temperature):
    u = q.noise(KEY, 4)

    def relaxed(logits):
        y = type(q)(logits).relaxed(type(q)(logits).perturbed(u), temperature)
        return bound(log_p(y) - q.log_prob(y)).sum()

    found = slope(partial(g.concrete, bound=bound, temperature=temperature), q, u)
    torch.testing.assert_close(found, grad(relaxed)(q.logits))


@pytest.mark.parametrize("q", [BINARY, CHOICE], ids=["binary", "choice"])
@pytest.mark.parametrize("bound", [bounds.elbo, bounds.iwae], ids=["elbo", "iwae"])
@pytest.mark.parametrize("temperature", [0.3, 1.5, None])
def test_straight_through_is_the_slope_at_z_times_that_of_its_stand_in(q, bound, temperature):
    """Of the mean, or of the relaxed sample at a temperature."""
    u = q.noise(KEY, 4)
    at_z = grad(lambda z: bound(log_p(z) - q.log_prob(z)).sum())(q.sample(u))

    def stand_in(logits):
        moved = type(q)(logits)
        y = moved.mean() if temperature is None else moved.relaxed(moved.perturbed(u), temperature)
        return (at_z * y).sum()

    estimate = (
        g.straight_through if temperature is None else partial(g.gumbel_straight_through, temperature=temperature)
    )
    torch.testing.assert_close(slope(partial(estimate, bound=bound), q, u), grad(stand_in)(q.logits))


@pytest.mark.parametrize("q", [BINARY, CHOICE], ids=["binary", "choice"])
@pytest.mark.parametrize(("temperature", "eta"), [(0.3, 1.0), (1.5, 1.0), (0.3, 0.4)])
def test_rebar_is_relax_with_its_relaxed_density(q, temperature, eta):
    u = q.noise(KEY, 4)

    def control(t):
        y = q.relaxed(t, temperature)
        return eta * (log_p(y) - q.log_prob(y))

    found = slope(partial(g.rebar, temperature=temperature, eta=eta), q, u)
    torch.testing.assert_close(found, slope(partial(g.relax, control=control), q, u))
    for name, value in {"temperature": temperature, "eta": eta}.items():
        other = partial(g.rebar, **{"temperature": temperature, "eta": eta, name: value / 2})
        assert (slope(other, q, u) - found).abs().max() > 1e-3


def test_the_second_moment_trains_the_control_alone():
    u = BINARY.noise(KEY, 4)

    def value(logits, weight, control):
        return g.second_moment(
            lambda z: weight * log_p(z), Bernoulli(logits), u, control=lambda t: control * t.sum(-1)
        ).sum()

    one = torch.ones((), dtype=F64)
    of_logits, of_model, of_control = grad(value, (0, 1, 2))(BINARY.logits, one, one)
    assert (of_logits == 0).all()
    assert of_model == 0
    assert of_control != 0
    of_q = grad(lambda t: g.relaxed_density(log_p, Bernoulli(t), 0.5)(BINARY.perturbed(u)).sum())(BINARY.logits)
    assert (of_q == 0).all()


def test_sum_and_sample_has_no_noise_where_log_w_is_constant_and_a_draw_of_its_own_per_sample():
    """log_w = 1.5 everywhere: what is subtracted from the sampled part is log_w itself."""
    u = BINARY.noise(KEY, 5)
    constant = lambda z: BINARY.log_prob(z) + 1.5  # noqa: E731
    found = g.sum_and_sample(constant, BINARY, u, top=2)
    torch.testing.assert_close(found, torch.full((2,), 1.5, dtype=F64))
    of_q = grad(lambda t: g.sum_and_sample(constant, Bernoulli(t), u, top=2).sum())(BINARY.logits)
    exact = grad(lambda t: g.exact(constant, Bernoulli(t)).sum())(BINARY.logits)
    torch.testing.assert_close(of_q, exact)
    seen = []
    g.sum_and_sample(lambda z: seen.append(z) or z.sum(-1), Bernoulli(torch.zeros(1, 3)), torch.rand(40, 1, 3), top=1)
    assert len(seen[0][1:].unique(dim=0)) >= 5  # of the 7 values that are left


def test_coupled_numbers_have_the_quantiles_of_their_laws():
    for dtype, tolerance in ((F64, 1e-12), (torch.float32, 2e-6)):
        eps = torch.linspace(0.2, 4, 20, dtype=dtype)
        eps = torch.cat([eps, -eps])
        p = stats.norm.cdf(eps.double().numpy())
        expected = torch.as_tensor(stats.rayleigh.ppf(p))
        torch.testing.assert_close(rayleigh(eps).double(), expected, rtol=1e-10 if dtype == F64 else 1e-5, atol=0)
        size = torch.as_tensor(stats.maxwell.isf(2 * stats.norm.sf(eps.abs().double().numpy())))
        torch.testing.assert_close(maxwell(eps).double(), torch.sign(eps).double() * size, rtol=tolerance, atol=1e-6)


def test_measure_valued_gradients_of_several_scales_are_the_exact_ones_of_a_square():
    """E sum_d c_d z_d^2 has slopes 2 c loc and 2 c scale^2."""
    loc = torch.tensor([[0.5, -1.0, 2.0]], dtype=F64)
    log_scale = torch.tensor([[0.3, -0.8, -0.1]], dtype=F64)
    weight = torch.tensor([1.0, 3.0, -2.0], dtype=F64)

    def draw(key):
        return grad(lambda q: g.measure_valued(target, q, q.noise(key, 1)).sum())(q)

    q = DiagNormal(loc, log_scale)
    target = lambda z: (weight * z.square()).sum(-1) + q.log_prob(z)  # noqa: E731

    def slopes(key, reps):
        return torch.cat(list(torch.func.vmap(draw)(keys.split(key, reps))), -1)

    exact = torch.cat([2 * weight * loc, 2 * weight * torch.exp(2 * log_scale)], -1)
    laws.mean_is_exact(slopes, exact, KEY)


@pytest.mark.parametrize(
    "estimate",
    [g.pathwise, g.stl, partial(g.dreg, bound=bounds.iwae), g.score, g.measure_valued],
    ids=["pathwise", "stl", "dreg", "score", "measure_valued"],
)
def test_models_of_half_precision_are_given_half_precision(estimate):
    weight = torch.ones(3, 3, dtype=torch.bfloat16)
    q = DiagNormal(weight, weight)
    value = estimate(lambda z: (z @ weight).float().sum(-1), q, q.noise(KEY, 2))
    assert value.isfinite().all()


@pytest.mark.parametrize("estimate", [g.concrete, g.gumbel_straight_through, g.rebar, g.straight_through, g.disarm])
def test_discrete_models_of_half_precision_are_given_half_precision(estimate):
    weight = torch.ones(3, 3, dtype=torch.bfloat16)
    q = Bernoulli(weight)
    assert (
        grad(lambda t: estimate(lambda z: (z @ weight).float().sum(-1), Bernoulli(t), q.noise(KEY, 2)).sum())(weight)
        .isfinite()
        .all()
    )

"""Divergences where they are easily lost: near their limits, at zero masses, at ratios that overflow."""

import math

import pytest
import torch
from scipy.spatial import distance
from scipy.special import rel_entr
from torch.func import grad

from jensen.core import divergences, keys
from jensen.core.distributions import Bernoulli, Categorical, DiagNormal
from jensen.core.divergences import generators
from tests.core.test_bounds_family import GENERATORS as KNOWN
from tests.core.test_divergences import masses, random_pair

INF = math.inf
KEY = keys.key(8)
GENERATORS = {
    **KNOWN,
    **{f"Alpha({a})": generators.Alpha(a) for a in (-1.5, 1e-12, 0.3, 0.5, 0.7, 1 - 1e-12, 1 + 1e-12, 2.5)},
}
every_generator = pytest.mark.parametrize("f", GENERATORS.values(), ids=GENERATORS)
every_family = pytest.mark.parametrize("family", ["normal", "bernoulli", "categorical"])


def kl(q, p):
    """KL(q || p), (n,), by scipy's sum over values or the textbook's formula."""
    if isinstance(q, DiagNormal):
        ratio = torch.exp(2 * (q.log_scale - p.log_scale))
        gap = (q.loc - p.loc) * torch.exp(-p.log_scale)
        return 0.5 * (ratio - 1 - torch.log(ratio) + gap**2).sum(-1)
    return torch.as_tensor(rel_entr(masses(q).numpy(), masses(p).numpy()).sum(0))


def slopes(divergence, q, p):
    """Gradients of the sum over data, in every field of q and p."""
    return grad(lambda both: divergence(*both).sum())((q, p))


def close(found, exact, rtol=1e-9):
    torch.testing.assert_close(found, torch.as_tensor(exact, dtype=found.dtype).expand_as(found), rtol=rtol, atol=0)


@every_family
@pytest.mark.parametrize("e", [1e-300, 1e-15, 1e-12, 1e-10, -1e-10, -1e-12, -1e-15])
def test_the_limits_are_the_kl(family, e):
    q, p = random_pair(family)
    close(divergences.renyi(q, p, 1 - e), kl(q, p))
    close(divergences.alpha_divergence(q, p, e), kl(q, p))
    close(divergences.alpha_divergence(q, p, 1 - e), kl(p, q))
    if e > 0:
        close(divergences.renyi(q, p, e) / e, kl(p, q))


@every_family
@pytest.mark.parametrize(
    "alpha", [-1e200, -40.0, -1.0, 1e-15, 0.3, 0.5, 0.9, 1 - 1e-12, 1 - 1e-15, 1.0, 1.5, 3.0, 40.0]
)
def test_equals_are_at_zero_and_others_above_it(family, alpha):
    q, p = random_pair(family)
    near = type(q)(*(t * (1 + 1e-7) for t in q))
    assert (divergences.alpha_divergence(q, q, alpha) == 0).all()
    assert (divergences.alpha_divergence(q, p, alpha) > 0).all()
    assert (divergences.alpha_divergence(q, near, alpha) >= 0).all()
    if alpha > 0:
        assert (divergences.renyi(q, q, alpha) == 0).all()
        assert (divergences.renyi(q, near, alpha) > 0).all()


def test_scales_that_are_nearly_equal():
    """Of zero means, renyi(1/2) is log cosh of the gap: the gap^2 / 2."""
    gap = 1e-8 * torch.arange(-20, 20, dtype=torch.float64)[:, None] + 1e-9
    zero = torch.zeros_like(gap)
    close(divergences.renyi(DiagNormal(zero, gap), DiagNormal(zero, zero), 0.5), gap[:, 0] ** 2 / 2, rtol=1e-10)


@pytest.mark.parametrize("alpha", [1e-9, -1e-9, 1 - 1e-9, 1 + 1e-9, 1 + 1e-15])
def test_generators_near_their_limits_keep_their_digits(alpha):
    t = torch.tensor([1e-6, 1e-2, 0.3, 0.49, 0.51, 3.0, 20.0])
    t = torch.cat([t, -t]).double()
    u, limit = torch.exp(t), torch.expm1(t)
    exact = u * t - limit if alpha > 0.5 else limit - t
    exact = torch.where(t.abs() < 1e-3, t**2 / 2 * (1 + (2 if alpha > 0.5 else 1) * t / 3), exact)
    close(generators.Alpha(alpha)(t.float()).double(), exact, rtol=1e-6)


@every_generator
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_generators_overflow_to_infinity(f, dtype):
    most = math.log(torch.finfo(dtype).max)
    t = torch.linspace(-2 * most, 2 * most, 4001, dtype=dtype)
    t = torch.cat([t, torch.tensor([-INF, -1e6, 1e6, INF], dtype=dtype)])
    for g in (f, generators.swapped(f)):
        value, slope = g(t), grad(lambda t, g=g: g(t).sum())(t)
        assert (value >= 0).all()  # so none is NaN
        assert (value[t > 1.2 * most] == INF).all() or f is generators.hellinger
        assert value[-1] == INF
        assert not slope[value < INF].isnan().any()
        if f is generators.jensen_shannon:
            below = t < most - 1  # of slopes that are numbers: (log u - log m) u / 2, or of the mirror's, under 1
            assert slope[below].isfinite().all()
    if dtype == torch.float32:
        some = t[t.abs() < 85]
        found, exact = f(some).double(), f(some.double())
        close(torch.where(found == INF, exact, found), exact, rtol=5e-6)
        assert (exact[found == INF] > 1e37).all()


@every_generator
def test_a_swapped_generator_is_u_times_it_at_the_inverse(f):
    t = torch.linspace(-20, 20, 101, dtype=torch.float64)
    torch.testing.assert_close(generators.swapped(f)(t), torch.exp(t) * f(-t), rtol=1e-11, atol=0)
    torch.testing.assert_close(generators.swapped(lambda t: f(t))(t), torch.exp(t) * f(-t), rtol=1e-11, atol=0)


def test_jensen_shannon_where_a_mass_is_zero():
    logits = torch.tensor([[[0.0, -INF, -INF]], [[0.0, 1.0, -INF]], [[-INF, 0.0, 2.0]], [[-0.5, 0.5, 1.0]]])
    for i in range(4):
        for j in range(4):
            q, p = Categorical(logits[i : i + 1]), Categorical(logits[j : j + 1])
            exact = distance.jensenshannon(masses(q).double(), masses(p).double()).item() ** 2
            torch.testing.assert_close(divergences.jensen_shannon(q, p), torch.tensor([exact]).float())
            assert all(torch.isfinite(t).all() for d in slopes(divergences.jensen_shannon, q, p) for t in d)
    sure, fair = Bernoulli(torch.full((1, 2), -INF)), Bernoulli(torch.zeros(1, 2))
    exact = (math.log(1.6) + 0.25 * math.log(0.4) + 0.75 * math.log(2)) / 2
    for found in (divergences.jensen_shannon(sure, fair), divergences.jensen_shannon(fair, sure)):
        close(found, exact, rtol=1e-6)


@pytest.mark.parametrize("logit", [8.0, 80.0])
def test_distant_pairs(logit):
    """Twelve coins against their opposites: ratios of e^(24 logit), which no float32 holds, or no float64."""
    q, p = Bernoulli(torch.full((1, 12), -logit)), Bernoulli(torch.full((1, 12), logit))
    apart = 12 * logit * math.tanh(logit / 2)
    exact = {
        generators.jensen_shannon: math.log(2),
        generators.hellinger: 1 - math.cosh(logit / 2) ** -12,
        generators.Alpha(0.5): 4 - 4 * math.cosh(logit / 2) ** -12,
        generators.forward_kl: apart,
        generators.reverse_kl: apart,
    }
    exact[lambda t: torch.expm1(t) - t] = apart  # one that no swapped generator is known of
    for f, value in exact.items():
        close(divergences.f_divergence(f, q, p), value, rtol=1e-6)
        gradients = slopes(lambda q, p, f=f: divergences.f_divergence(f, q, p), q, p)
        assert all(torch.isfinite(t).all() for d in gradients for t in d)
    assert divergences.jensen_shannon(q, p) == divergences.jensen_shannon(p, q)


def test_masses_that_underflow_still_overflow():
    q, p = (Categorical(torch.tensor([[[0.0, logit]]])) for logit in (-2400.0, -800.0))  # p^2 / q = e^800
    assert divergences.f_divergence(generators.chi2, q, p) == INF


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_what_overflows_is_infinite_without_a_gradient(dtype):
    zero = torch.zeros(1, 2, dtype=dtype)
    unit = DiagNormal(zero, zero)
    pairs = [
        (DiagNormal(torch.tensor([[30.0, 0.0]], dtype=dtype), zero), unit),  # e^900
        (unit, DiagNormal(zero + 3, zero + 1)),  # no integral
        (Bernoulli(zero - 900), Bernoulli(zero + 900)),
        (Categorical(torch.tensor([[[0.0, -INF]]], dtype=dtype)), Categorical(zero[None])),
    ]
    for q, p in pairs:
        for divergence in (divergences.chi2, lambda q, p: divergences.alpha_divergence(q, p, 2.5)):
            assert divergence(q, p) == INF
            assert all((t == 0).all() for d in slopes(divergence, q, p) for t in d)
    inside = 2 * (math.log(torch.finfo(dtype).max) - 3) / (1.001 * 0.001)  # e^I fits, but not over alpha (alpha - 1)
    q = DiagNormal(torch.tensor([[math.sqrt(inside), 0.0]], dtype=dtype), zero)
    assert divergences.alpha_divergence(q, unit, 1.001) == INF
    assert all((t == 0).all() for d in slopes(lambda *d: divergences.alpha_divergence(*d, 1.001), q, unit) for t in d)
    q = DiagNormal(torch.tensor([[9.0, 0.0]], dtype=dtype), zero)
    close(divergences.chi2(q, unit), math.expm1(81), rtol=1e-6)
    gradient = slopes(divergences.chi2, q, unit)[0].loc
    close(gradient, torch.tensor([[18 * math.exp(81), 0.0]]), rtol=1e-6)


@pytest.mark.parametrize("edge", [-100.0, 100.0])
def test_scales_are_bounded_as_in_the_kl(edge):
    """log_scale = 100 counts as 20 + 0.5 80 / 80.5, see `numerics.bounded`; of zero means, I(1/2) has a closed form."""
    level = math.copysign(20 + 0.5 * 80 / 80.5, edge)
    zero = torch.zeros(1, 1)
    q, p = DiagNormal(zero, torch.full((1, 1), edge)), DiagNormal(zero, zero)
    close(divergences.renyi(q, p, 0.5), math.log(math.cosh(level)), rtol=1e-6)
    assert divergences.renyi(q, p, 0.5) == divergences.renyi(p, q, 0.5)


def test_two_choices_of_many_are_few_values():
    q, p = (Categorical(keys.normal(k, (1, 2, 21), torch.float64)) for k in keys.split(KEY))
    close(divergences.f_divergence(generators.reverse_kl, q, p), kl(q, p))  # 21^2 values, not 2^21


def test_no_dimensions_and_one_distribution_against_a_batch():
    none = Categorical(torch.zeros(2, 0, 3))
    assert divergences.jensen_shannon(none, none).tolist() == divergences.chi2(none, none).tolist() == [0.0, 0.0]
    q, p = random_pair("bernoulli")
    one = Bernoulli(q.logits[0])
    each = torch.cat([divergences.jensen_shannon(Bernoulli(q.logits[:1]), Bernoulli(row[None])) for row in p.logits])
    torch.testing.assert_close(divergences.jensen_shannon(one, p), each)

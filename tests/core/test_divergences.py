import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.func import grad

from jensen import laws
from jensen.core import divergences, keys
from jensen.core.distributions import Bernoulli, Categorical, DiagNormal, Gamma
from jensen.core.divergences import generators
from jensen.laws import strategies

KEY = keys.key(7)
ALPHAS = (-0.5, 0.0, 0.3, 0.5, 1.0, 2.0)
ORDERS = (0.2, 0.5, 1.0, 2.0, 3.5)
OTHERS = Bernoulli(torch.zeros(4, 3)), Categorical(torch.zeros(4, 3))
finite_families = pytest.mark.parametrize("family", ["bernoulli", "categorical"])


def masses(d):
    """Joint probabilities (values, n) by an outer product over dimensions."""
    if isinstance(d, Bernoulli):
        p = torch.sigmoid(d.logits)
        each = torch.stack([1 - p, p], -1)
    else:
        each = torch.softmax(d.logits, -1)
    joint = torch.ones(len(each), 1, dtype=torch.float64)
    for i in range(each.shape[1]):
        joint = (joint[:, :, None] * each[:, i, None, :]).flatten(1)
    return joint.T


def short(d):
    return d._replace(log_scale=d.log_scale[:1])


def powers(q, p, a):
    return (p**a * q ** (1 - a)).sum(0)


def by_definition(q, p):
    """Name -> value, from two columns of probabilities."""
    m = (q + p) / 2
    kl = lambda a, b: (a * torch.log(a / b)).sum(0)  # noqa: E731
    values = {"reverse_kl": kl(q, p), "forward_kl": kl(p, q), "chi2": ((p - q) ** 2 / q).sum(0)}
    values["jensen_shannon"] = (kl(q, m) + kl(p, m)) / 2
    values |= {("alpha", a): (powers(q, p, a) - 1) / (a * (a - 1)) for a in ALPHAS if a not in (0, 1)}
    values |= {("alpha", 0.0): kl(q, p), ("alpha", 1.0): kl(p, q)}
    for a in ORDERS:
        values["renyi", a] = torch.log(powers(q, p, 1 - a)) / (a - 1) if a != 1 else kl(q, p)
    return values


def ours(q, p, finite=True):
    values = {name: getattr(divergences, name)(q, p) for name in ("reverse_kl", "forward_kl", "chi2")}
    if finite:
        values["jensen_shannon"] = divergences.jensen_shannon(q, p)
    values |= {("alpha", a): divergences.alpha_divergence(q, p, a) for a in ALPHAS}
    return values | {("renyi", a): divergences.renyi(q, p, a) for a in ORDERS}


def random_pair(family):
    a, b = keys.split(KEY)
    shape = (3, 2) if family != "categorical" else (3, 2, 4)
    if family == "normal":
        return tuple(DiagNormal(*(0.4 * keys.normal(k, (2, 3, 2), torch.float64)).unbind()) for k in (a, b))
    kind = {"bernoulli": Bernoulli, "categorical": Categorical}[family]
    return tuple(kind(keys.normal(k, shape, torch.float64)) for k in (a, b))


@finite_families
def test_finite_sums(family):
    q, p = random_pair(family)
    for name, value in by_definition(masses(q), masses(p)).items():
        torch.testing.assert_close(ours(q, p)[name], value, msg=str(name))


@finite_families
def test_generators_are_their_divergences(family):
    q, p = random_pair(family)
    a, b = masses(q), masses(p)
    exact = by_definition(a, b)
    for name in ("reverse_kl", "forward_kl", "chi2", "jensen_shannon"):
        torch.testing.assert_close(divergences.f_divergence(getattr(generators, name), q, p), exact[name])
    torch.testing.assert_close(divergences.f_divergence(generators.hellinger, q, p), 1 - (a * b).sqrt().sum(0))
    for alpha in ALPHAS:
        torch.testing.assert_close(divergences.f_divergence(generators.Alpha(alpha), q, p), exact["alpha", alpha])


def test_normals_by_quadrature():
    """d = 2, and a grid fine enough that the trapezium rule is exact to rounding."""
    q, p = random_pair("normal")
    grid, checked = torch.linspace(-24, 24, 1001, dtype=torch.float64), 0
    cell = (grid[1] - grid[0]) ** 2
    for i in range(3):
        densities = []
        for d in (q, p):
            each = torch.distributions.Normal(d.loc[i], torch.exp(d.log_scale[i])).log_prob(grid[:, None]).exp()
            densities.append((each[:, 0, None] * each[:, 1]).flatten()[:, None] * cell)
        keep = (densities[0] > 1e-290) & (densities[1] > 1e-290)
        exact = by_definition(*(t[keep][:, None] for t in densities))
        found = ours(DiagNormal(*(t[i : i + 1] for t in q)), DiagNormal(*(t[i : i + 1] for t in p)), finite=False)
        wide, narrow = torch.exp(2 * q.log_scale[i]), torch.exp(2 * p.log_scale[i])
        for name, value in found.items():
            a = 2.0 if name == "chi2" else name[1] if name[0] == "alpha" else 1 - name[1] if name[0] == "renyi" else 0.5
            precision = a / narrow + (1 - a) / wide  # of p^a q^(1 - a)
            if (precision <= 0).any():
                assert value == math.inf, name
            elif (precision > 0.1).all():  # the grid holds it
                torch.testing.assert_close(value, exact[name], rtol=1e-8, atol=1e-10)
                checked += 1
    assert checked >= 25


@pytest.mark.law
@pytest.mark.parametrize("family", ["normal", "bernoulli", "categorical"])
@given(st.data())
def test_divergences_are_not_negative_and_zero_for_equals(family, data):
    q, p = data.draw(strategies.pairs(family))
    both = {
        "alpha": lambda q, p: divergences.alpha_divergence(q, p, 0.5),
        "renyi": lambda q, p: divergences.renyi(q, p, 0.3),
        "forward": divergences.forward_kl,
        "transport": divergences.squared_wasserstein2,
    }
    if family != "normal" and q.logits[0].numel() <= 12:
        both |= {"js": divergences.jensen_shannon, "chi2": divergences.chi2}
    for name, divergence in both.items():
        value = divergence(q, p)
        laws.kl_is_nonnegative(value.clamp_min(0) if (value >= -1e-12).all() else value)
        assert (divergence(q, q).abs() <= 1e-12).all(), name
    if family != "normal" and "js" in both:
        assert (both["js"](q, p) <= math.log(2) + 1e-12).all()


@pytest.mark.law
@given(strategies.tensors((40,), st.floats(-30, 30)))
def test_generators_are_not_negative_at_any_ratio(t):
    t = torch.cat([t, t / 1e3, t / 1e7, torch.tensor([0.0, -0.5, 0.5, -math.inf], dtype=torch.float64)])
    for f in (generators.forward_kl, generators.chi2, generators.hellinger, generators.jensen_shannon,
              generators.reverse_kl, generators.Alpha(0.3), generators.Alpha(2.5)):  # fmt: skip
        value, slope = f(t), grad(lambda t, f=f: f(t).sum())(t)
        assert not value.isnan().any()
        assert (value >= 0).all()
        assert torch.isfinite(slope).all()
        assert (slope * t.sign() >= 0).all()
        torch.testing.assert_close(f(t.float()).double(), f(t.float().double()), rtol=2e-5, atol=1e-30)
    assert generators.jensen_shannon(torch.tensor([-math.inf])) == pytest.approx(math.log(2) / 2)


def test_small_divergences_keep_their_digits():
    q = DiagNormal(torch.full((1, 1), 1e-3), torch.full((1, 1), 1e-3))
    p = DiagNormal(torch.zeros(1, 1), torch.zeros(1, 1))
    for d, wide in ((q, p), (p, q)):
        q64, p64 = (DiagNormal(*(t.double() for t in each)) for each in (d, wide))
        t, u = 2 * (q64.log_scale - p64.log_scale), (q64.loc - p64.loc) * torch.exp(-p64.log_scale)
        for alpha in (0.5, 2.0):  # to third order: alpha (t^2 / 4 + u^2 / 2)
            found = divergences.renyi(d, wide, alpha)
            assert found.dtype == torch.float32
            torch.testing.assert_close(found.double(), alpha * (t**2 / 4 + u**2 / 2).sum(-1), rtol=5e-3, atol=0)
            torch.testing.assert_close(found.double(), divergences.renyi(q64, p64, alpha), rtol=1e-5, atol=0)


def test_what_diverges_is_infinite():
    narrow, wide = (
        DiagNormal(torch.zeros(1, 1), torch.full((1, 1), -1.0)),
        DiagNormal(torch.zeros(1, 1), torch.ones(1, 1)),
    )
    assert divergences.chi2(narrow, wide) == math.inf
    assert torch.isfinite(divergences.chi2(wide, narrow)).all()
    assert divergences.renyi(wide, narrow, 2.0) == math.inf
    assert torch.isfinite(divergences.renyi(wide, narrow, 0.5)).all()


def test_renyi_is_the_kl_in_the_limit():
    for family in ("normal", "bernoulli", "categorical"):
        q, p = random_pair(family)
        for e in (-1e-7, 1e-7):
            torch.testing.assert_close(divergences.renyi(q, p, 1 + e), q.kl(p), rtol=1e-5, atol=1e-9)
            torch.testing.assert_close(divergences.alpha_divergence(q, p, e), q.kl(p), rtol=1e-5, atol=1e-9)


def test_wasserstein_of_normals_is_the_distance_of_their_quantiles():
    q, p = random_pair("normal")
    levels = torch.special.ndtri((torch.arange(200_000, dtype=torch.float64) + 0.5) / 200_000)[:, None, None]
    gap = (q.loc + torch.exp(q.log_scale) * levels) - (p.loc + torch.exp(p.log_scale) * levels)
    exact = gap.square().mean(0).sum(-1)
    torch.testing.assert_close(divergences.squared_wasserstein2(q, p), exact, rtol=1e-4, atol=0)


@finite_families
def test_wasserstein_of_finite_values_is_a_linear_programme(family):
    from scipy.optimize import linprog

    q, p = random_pair(family)
    z = q.support()[:, 0].flatten(1).numpy()
    m = len(z)
    cost = ((z[:, None] - z[None]) ** 2).sum(-1).flatten()
    rows = np.concatenate([np.kron(np.eye(m), np.ones(m)), np.kron(np.ones(m), np.eye(m))])
    for i in range(3):
        marginals = torch.cat([d.log_prob(d.support()).exp()[:, i] for d in (q, p)]).numpy()
        best = linprog(cost, A_eq=rows[:-1], b_eq=marginals[:-1], method="highs").fun
        assert divergences.squared_wasserstein2(q, p)[i].item() == pytest.approx(best, abs=1e-8)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda q, p: divergences.renyi(q, p, 0.0), ValueError, "expected alpha in"),
        (lambda q, p: divergences.jensen_shannon(q, p), TypeError, "finitely many values"),
        (lambda q, p: divergences.chi2(q, Bernoulli(q.loc)), TypeError, "got a DiagNormal and a Bernoulli"),
        (lambda q, p: divergences.chi2(Gamma(*q), Gamma(*p)), TypeError, "average over samples"),
        (lambda q, p: divergences.chi2(q, DiagNormal(*(t[:1] for t in p))), ValueError, "expected a value"),
        (lambda q, p: divergences.squared_wasserstein2(Gamma(*q), Gamma(*p)), TypeError, "squared_mmd"),
        (lambda q, p: divergences.renyi(q, p, math.inf), ValueError, r"alpha in \(0, inf\), got inf"),
        (lambda q, p: divergences.renyi(q, p, math.nan), ValueError, r"alpha in \(0, inf\), got nan"),
        (lambda q, p: divergences.alpha_divergence(q, p, -math.inf), ValueError, r"alpha in \(-inf, inf\), got -inf"),
        (lambda q, p: divergences.alpha_divergence(q, p, math.nan), ValueError, r"alpha in \(-inf, inf\), got nan"),
        (lambda q, p: divergences.reverse_kl(*OTHERS), TypeError, "one family with a kl, got a Bernoulli and a Cat"),
        (lambda q, p: divergences.forward_kl(*OTHERS), TypeError, "one family with a kl, got a Bernoulli and a Cat"),
        (lambda q, p: divergences.renyi(*OTHERS, 1.0), TypeError, "got a Bernoulli and a Categorical"),
        (lambda q, p: divergences.alpha_divergence(*OTHERS, 0.0), TypeError, "got a Bernoulli and a Categorical"),
        (lambda q, p: divergences.alpha_divergence(Gamma(*q), Gamma(*p), 1.0), TypeError, "got a Gamma and a Gamma"),
        (lambda q, p: divergences.chi2(q, short(p)), ValueError, "fields of one shape"),
        (lambda q, p: divergences.renyi(short(q), p, 2.0), ValueError, "fields of one shape"),
        (lambda q, p: divergences.squared_wasserstein2(short(q), p), ValueError, "fields of one shape"),
        (lambda q, p: divergences.jensen_shannon(OTHERS[0], Bernoulli(torch.zeros(1, 3))), ValueError, "a value"),
        (lambda q, p: divergences.jensen_shannon(*[Bernoulli(torch.zeros(1, 2000))] * 2), ValueError, "1048576"),
        (lambda q, p: divergences.jensen_shannon(*[Categorical(torch.zeros(1, 21, 2))] * 2), ValueError, r"got 2\^21"),
    ],
)
def test_what_does_not_fit_raises(call, error, message):
    with pytest.raises(error, match=message):
        call(*random_pair("normal"))

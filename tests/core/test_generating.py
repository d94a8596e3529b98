"""Characteristic and moment generating functions against integrals of scipy's densities, sums, and mpmath."""

import math

import mpmath
import numpy as np
import pytest
import torch
from scipy import integrate, stats
from torch.func import grad, vmap

from jensen.core.contracts import Characteristic, MomentGenerating, can
from jensen.core.distributions import (
    Bernoulli,
    Beta,
    Binomial,
    Cauchy,
    ChiSquared,
    ContinuousBernoulli,
    DiagNormal,
    Exponential,
    Gamma,
    Geometric,
    InverseGamma,
    Laplace,
    Logistic,
    LogNormal,
    NegativeBinomial,
    Pareto,
    Poisson,
    StudentT,
    TruncatedNormal,
    Uniform,
    characteristic,
    log_mgf,
)
from jensen.core.trees import Static

ARGUMENTS = [-9.0, -0.5, 0.0, 1e-4, 2.0]


def field(value, dtype=torch.float64):
    return torch.full((1, 1), value, dtype=dtype)


def at(t, dtype=torch.float64):
    return torch.tensor(t, dtype=dtype).reshape(-1, 1, 1)


def located(kind, loc, log_scale):
    return kind(field(loc), field(log_scale))


CONTINUOUS = {
    "DiagNormal": (located(DiagNormal, 0.3, -0.4), stats.norm(0.3, math.exp(-0.4))),
    "Laplace": (located(Laplace, 0.3, -0.9), stats.laplace(0.3, math.exp(-0.9))),
    "Logistic": (located(Logistic, 0.3, -1.4), stats.logistic(0.3, math.exp(-1.4))),
    "Uniform": (Uniform(field(-0.5), field(1.5)), stats.uniform(-0.5, 2.0)),
    "Exponential": (Exponential(field(1.7)), stats.expon(scale=1 / 1.7)),
    "Gamma": (Gamma(field(2.5), field(1.7)), stats.gamma(2.5, scale=1 / 1.7)),
    "ChiSquared": (ChiSquared(field(3.0)), stats.chi2(3)),
    "Beta": (Beta(field(2.5), field(1.7)), stats.beta(2.5, 1.7)),
    "ContinuousBernoulli": (ContinuousBernoulli(field(-1.7)), stats.truncexpon(1.7, scale=1 / 1.7)),
    "TruncatedNormal": (TruncatedNormal(field(0.3), field(0.2), field(-1.0), field(math.inf)),
                        stats.truncnorm(-1.3 / math.exp(0.2), np.inf, 0.3, math.exp(0.2))),
    "TruncatedNormal, a tail": (TruncatedNormal(field(0.0), field(0.0), field(30.0), field(31.0)),
                                stats.truncnorm(30, 31)),
}  # fmt: skip
DISCRETE = {
    "Bernoulli": (Bernoulli(field(0.7)), stats.bernoulli(1 / (1 + math.exp(-0.7)))),
    "Binomial": (Binomial(field(-0.7), Static(9)), stats.binom(9, 1 / (1 + math.exp(0.7)))),
    "Poisson": (Poisson(field(2.5)), stats.poisson(2.5)),
    "Geometric": (Geometric(field(0.7)), stats.geom(1 / (1 + math.exp(-0.7)), -1)),
    "NegativeBinomial": (NegativeBinomial(field(2.5), field(-0.7)), stats.nbinom(2.5, 1 / (1 + math.exp(-0.7)))),
}


def mean_exponential(oracle, s):
    """E e^(s z) of a scipy distribution, for a complex s."""
    if hasattr(oracle.dist, "pmf"):
        z = np.arange(400)
        return (oracle.pmf(z) * np.exp(s * z)).sum()
    low, middle, high = oracle.ppf(1e-40), oracle.median(), oracle.isf(1e-40)

    def part(side):
        def f(z):
            return oracle.pdf(z) * side(np.exp(s * z))

        return sum(integrate.quad(f, *ends, limit=400, epsabs=1e-12)[0] for ends in ((low, middle), (middle, high)))

    return part(np.real) + 1j * part(np.imag)


@pytest.mark.parametrize("name", CONTINUOUS | DISCRETE)
def test_characteristic_functions_are_the_integrals(name):
    q, oracle = (CONTINUOUS | DISCRETE)[name]
    exact = np.array([mean_exponential(oracle, 1j * t) for t in ARGUMENTS])
    np.testing.assert_allclose(characteristic(q, at(ARGUMENTS))[:, 0, 0].numpy(), exact, rtol=0, atol=1e-9)


@pytest.mark.parametrize("name", CONTINUOUS | DISCRETE)
def test_moment_generating_functions_are_the_integrals_and_their_slopes_the_moments(name):
    q, oracle = (CONTINUOUS | DISCRETE)[name]
    t = [-0.4, 1e-4, 0.3]
    exact = np.array([mean_exponential(oracle, s).real for s in t])
    np.testing.assert_allclose(log_mgf(q, at(t))[:, 0, 0].numpy(), np.log(exact), rtol=1e-8, atol=1e-10)

    def cumulants(t):
        return log_mgf(q, t.reshape(1, 1, 1)).sum()

    zero = torch.zeros((), dtype=torch.float64)
    assert grad(cumulants)(zero).item() == pytest.approx(oracle.mean(), rel=1e-8)
    assert grad(grad(cumulants))(zero).item() == pytest.approx(oracle.var(), rel=1e-6)


def test_moments_by_nested_derivatives():
    """E X^3 = mu^3 + 3 mu sigma^2 of a normal, the third derivative of its moment generating function at 0."""
    q, _ = CONTINUOUS["DiagNormal"]
    zero = torch.zeros((), dtype=torch.float64)
    third = grad(grad(grad(lambda t: log_mgf(q, t.reshape(1, 1, 1)).exp().sum())))(zero)
    assert third.item() == pytest.approx(0.3**3 + 3 * 0.3 * math.exp(-0.8), rel=1e-12)


def bessel(t, a, b):
    """Of an inverse gamma."""
    w = mpmath.mpc(0, -t * b)
    return 2 * w ** (mpmath.mpf(a) / 2) * mpmath.besselk(a, 2 * mpmath.sqrt(w)) / mpmath.gamma(a)


def student(t, df):
    x = mpmath.sqrt(df) * abs(t)
    return (
        2 * (x / 2) ** (mpmath.mpf(df) / 2) * mpmath.besselk(mpmath.mpf(df) / 2, x) / mpmath.gamma(mpmath.mpf(df) / 2)
    )


def turned(t, scale):
    """Of a log-normal, over a line on which the exponential falls."""
    u = np.linspace(-12 * scale, 12 * scale, 40_001)
    y = u + 1j * math.copysign(min(1.0, 0.9 * scale), t)
    heights = np.exp(1j * t * np.exp(y) - (y / scale) ** 2 / 2) / (scale * math.sqrt(2 * math.pi))
    return heights.sum() * (u[1] - u[0])


HEAVY = {
    "Cauchy": (located(Cauchy, 0.3, -0.4), lambda t: mpmath.exp(0.3j * t - math.exp(-0.4) * abs(t))),
    **{f"StudentT {df}": (StudentT(field(df), field(0.0), field(0.0)), lambda t, df=df: student(t, df))
       for df in (0.2, 3.5, 60.0)},
    **{f"InverseGamma {a}": (InverseGamma(field(a), field(0.7)), lambda t, a=a: bessel(t, a, 0.7))
       for a in (0.05, 3.5, 1e3)},
    **{f"Pareto {a}": (Pareto(field(0.7), field(a)),
                       lambda t, a=a: a * mpmath.mpc(0, -0.7 * t) ** a * mpmath.gammainc(-a, mpmath.mpc(0, -0.7 * t)))
       for a in (0.3, 2.5, 60.0)},
    **{f"LogNormal {scale}": (LogNormal(field(0.0), field(math.log(scale))), lambda t, scale=scale: turned(t, scale))
       for scale in (0.05, 1.0, 3.0)},
    **{f"Beta {a} {b}": (Beta(field(a), field(b)), lambda t, a=a, b=b: mpmath.hyp1f1(a, a + b, 1j * t, maxterms=10**6))
       for a, b in ((0.05, 0.05), (1e-3, 1e3), (300.0, 90.0))},
}  # fmt: skip


@pytest.mark.parametrize("name", HEAVY)
def test_characteristic_functions_without_an_elementary_form(name):
    q, exact = HEAVY[name]
    for t in (-1e3, -1.0, -0.01, 1e-6, 0.3, 40.0):
        found = complex(characteristic(q, at([t])))
        with mpmath.workdps(30):
            assert abs(found - complex(exact(t))) < 1e-8, t
    assert abs(complex(characteristic(q, at([0.0]))) - 1) < 1e-8


def test_they_diverge_where_the_tail_is_heavier():
    """inf from the tail's rate on, without a gradient."""
    rate = {"Exponential": 1.7, "Gamma": 1.7, "Laplace": math.exp(0.9), "Logistic": math.exp(1.4), "ChiSquared": 0.5}
    for name, edge in rate.items():
        q, _ = CONTINUOUS[name]
        t = at([0.999 * edge, 1.001 * edge])
        assert log_mgf(q, t).isinf().flatten().tolist() == [False, True]
        assert grad(lambda t, q=q: log_mgf(q, t)[1].sum())(t)[1].item() == 0
    geometric, _ = DISCRETE["Geometric"]
    edge = math.log1p(math.exp(0.7))
    assert log_mgf(geometric, at([0.999 * edge, 1.001 * edge])).isinf().flatten().tolist() == [False, True]


def test_what_has_none_is_refused_and_types_follow_the_fields():
    for name, (q, _) in HEAVY.items():
        if "Beta" not in name:
            assert not can(q, MomentGenerating)
            with pytest.raises(TypeError, match=rf"expected q with a moment generating function .* got a {name[:3]}"):
                log_mgf(q, at([0.1]))
        assert can(q, Characteristic)
    q = DiagNormal(torch.zeros(2, 3), torch.zeros(2, 3))
    assert characteristic(q, torch.ones(4, 2, 3)).dtype == torch.complex64
    assert log_mgf(q, torch.ones(4, 2, 3)).dtype == torch.float32
    with pytest.raises(ValueError, match="expected a value t"):
        characteristic(q, torch.ones(4, 2))


def test_they_are_mapped():
    for q in (HEAVY["Pareto 2.5"][0], HEAVY["StudentT 3.5"][0], CONTINUOUS["Beta"][0]):
        t = torch.linspace(0.1, 2, 3, dtype=torch.float64)
        slopes = vmap(grad(lambda t, q=q: characteristic(q, t.reshape(1, 1, 1)).real.sum()))(t)
        step = 1e-5
        above, below = (characteristic(q, (t + s)[:, None, None]).real[:, 0, 0] for s in (step, -step))
        torch.testing.assert_close(slopes, (above - below) / (2 * step), rtol=1e-5, atol=1e-8)

"""Densities, entropies and KLs of neighbours against mpmath, from parameters of 1e-3 to ones of 1e20."""

import itertools

import mpmath as mp
import pytest
import torch

from jensen.core import trees
from jensen.core.distributions import (
    Bernoulli,
    Beta,
    Categorical,
    ContinuousBernoulli,
    DiagNormal,
    Dirichlet,
    FullNormal,
    Gamma,
)

F32, F64 = torch.float32, torch.float64
DIGITS = 200  # a mass of e^-300, and the square of a gap of 1e-12 beside 1
SIZES = [1e-3, 0.7, 30.0, 1e8, 1e15, 1e20]
LOGITS = [sign * size for size in (1e-3, 0.7, 20.0, 300.0) for sign in (1, -1)]
NEAR = [1e-12, 1e-9, 1e-6, 1e-4, -1e-4, 1e-2]
wide = pytest.mark.slow


def exactly(t):
    """A tensor's numbers, as nested lists of mpmath's."""
    return [exactly(each) for each in t] if t.ndim else mp.mpf(t.item())


# Each family's log density of one datum, entropy, and KL, in mpmath, of fields as `exactly` gives them.


def gamma_log_density(z, a, b):
    return mp.fsum(
        a * mp.log(b) + (a - 1) * mp.log(z) - b * z - mp.loggamma(a) for z, a, b in zip(z, a, b, strict=True)
    )


def gamma_entropy(a, b):
    return mp.fsum(a - mp.log(b) + mp.loggamma(a) + (1 - a) * mp.digamma(a) for a, b in zip(a, b, strict=True))


def gamma_kl(q, p):
    total = mp.mpf(0)
    for a, b, c, d in zip(*q, *p, strict=True):
        total += (a - c) * mp.digamma(a) - mp.loggamma(a) + mp.loggamma(c) + c * mp.log(b / d) + a * (d - b) / b
    return total


def log_beta(a):
    return mp.fsum(map(mp.loggamma, a)) - mp.loggamma(mp.fsum(a))


def dirichlet_log_density(z, a):
    whole = mp.fsum(z)  # 1 but for rounding
    return mp.fsum((a - 1) * mp.log(z / whole) for z, a in zip(z, a, strict=True)) - log_beta(a)


def dirichlet_entropy(a):
    total = mp.fsum(a)
    return log_beta(a) - mp.fsum((each - 1) * (mp.digamma(each) - mp.digamma(total)) for each in a)


def dirichlet_kl(q, p):
    total = mp.fsum(q)
    mean_log = [mp.digamma(a) - mp.digamma(total) for a in q]
    return log_beta(p) - log_beta(q) + mp.fsum((a - c) * m for a, c, m in zip(q, p, mean_log, strict=True))


def tilt(a):
    return mp.log(mp.expm1(a) / a)


def tilt_slope(a):
    return 1 / (1 - mp.exp(-a)) - 1 / a


def discrete_kl(q, p):
    q, p = ([mp.exp(t) / mp.fsum(map(mp.exp, logits)) for t in logits] for logits in (q, p))
    return mp.fsum(a * mp.log(a / b) for a, b in zip(q, p, strict=True))


def normal_kl(q, p):
    """Of full normals: loc, log_scale, lower."""
    change = mp.inverse(factor(*p[1:]))
    off = change * mp.matrix([a - b for a, b in zip(q[0], p[0], strict=True)])
    squares = mp.fsum(x**2 for x in change * factor(*q[1:])) + mp.fsum(x**2 for x in off)
    return (squares - len(q[0])) / 2 - mp.fsum(a - b for a, b in zip(q[1], p[1], strict=True))


def factor(log_scale, lower):
    places = range(len(log_scale))
    return mp.matrix([[lower[i][j] if j < i else mp.exp(log_scale[i]) * (i == j) for j in places] for i in places])


KLS = {
    Gamma: gamma_kl,
    Beta: lambda q, p: dirichlet_kl(q[0] + q[1], p[0] + p[1]),  # of one component
    Dirichlet: lambda q, p: dirichlet_kl(q[0], p[0]),
    ContinuousBernoulli: lambda q, p: mp.fsum(
        tilt(b) - tilt(a) - (b - a) * tilt_slope(a) for a, b in zip(q[0], p[0], strict=True)
    ),
    Bernoulli: lambda q, p: mp.fsum(discrete_kl([0, a], [0, b]) for a, b in zip(q[0], p[0], strict=True)),
    Categorical: lambda q, p: mp.fsum(discrete_kl(a, b) for a, b in zip(q[0], p[0], strict=True)),
    DiagNormal: lambda q, p: normal_kl((*q, zeros(len(q[0]))), (*p, zeros(len(p[0])))),
    FullNormal: normal_kl,
}


def zeros(size):
    return [[mp.mpf(0)] * size] * size


def members(family, some=slice(None)):
    """Fields of many rows (n, ...) each, in float64."""
    if family in (Gamma, Beta):
        return torch.tensor(list(itertools.product(SIZES[some], SIZES[some])), dtype=F64).T[..., None]
    if family is Dirichlet:
        return torch.tensor(list(itertools.product(SIZES[some], repeat=3)), dtype=F64)[None]
    if family in (Bernoulli, ContinuousBernoulli):
        return torch.tensor(LOGITS[some], dtype=F64)[None, :, None]
    if family is Categorical:
        return torch.tensor([[[0.3, -1.0, 2.0]], [[0.0, 30.0, -5.0]], [[100.0, 99.0, 80.0]]], dtype=F64)[None]
    rows = torch.tensor([[0.3, -1.2], [5.0, 3.0]], dtype=F64)
    return [rows, rows / 7, torch.tensor([[[0.0, 0.0], [0.8, 0.0]], [[0.0, 0.0], [-3.0, 0.0]]], dtype=F64)][
        : len(family._fields)
    ]


def check_neighbours(family, dtype, some):
    q = family(*(t.to(dtype) for t in members(family, some)))
    for distance in NEAR:
        for moved in itertools.product((0.0, 1.0), repeat=len(q)):
            p = family(*(t * (1 + scale * distance) for t, scale in zip(q, moved, strict=True)))
            p = p if any(moved) else family(*(t * (1 + distance * (-1.0) ** torch.arange(t.shape[-1])) for t in q))
            p = trees.map(lambda t: t.to(dtype), p)
            found = q.kl(p).double()
            assert (found >= 0).all()
            with mp.workdps(DIGITS):
                for i in range(len(found)):
                    pair = [[exactly(t[i]) for t in each] for each in (q, p)]
                    exact = KLS[family](*pair)
                    error = abs(mp.mpf(found[i].item()) - exact)
                    assert error <= (1e-5 if dtype == F32 else 2e-6) * exact + torch.finfo(dtype).tiny, (pair, found[i])


@pytest.mark.parametrize("dtype", [F32, F64])
@pytest.mark.parametrize("family", KLS)
def test_kls_of_neighbours_are_right_and_never_negative(family, dtype):
    """To 1e-5 in float32 and 2e-6 in float64: the gap of means of nearly equal gammas of 1e20 has no more digits."""
    check_neighbours(family, dtype, slice(2, 6, 3))


@wide
@pytest.mark.parametrize("dtype", [F32, F64])
@pytest.mark.parametrize("family", KLS)
def test_kls_of_all_neighbours(family, dtype):
    check_neighbours(family, dtype, slice(None))


def conditioned(found, exact, slope=0.0, dtype=F64):
    """found is exact to the last digits of its value, of 1, and of what a change of z in its last digit changes."""
    eps = torch.finfo(dtype).eps
    allowed = torch.finfo(F64).eps * (16 * abs(slope) + 32) + 8 * eps * abs(exact)
    assert abs(mp.mpf(found.item()) - exact) <= allowed, (found.item(), exact)


def quantities(sizes):
    """(found, exact, slope in log z) of log densities and entropies, of one-component families of these sizes."""
    for a, b in itertools.product(sizes, sizes):
        one = [torch.tensor([[t]], dtype=F64) for t in (a, b)]
        x, y = mp.mpf(a), mp.mpf(b)
        yield Gamma(*one).entropy(), gamma_entropy([x], [y]), 0
        yield Beta(*one).entropy(), dirichlet_entropy([x, y]), 0
        yield Dirichlet(torch.tensor([[a, b, 2.0]], dtype=F64)).entropy(), dirichlet_entropy([x, y, mp.mpf(2)]), 0
        for step in (-3.0, 0.1, 2.0):
            z = a / b * torch.exp(torch.tensor([[step / max(1, a) ** 0.5]], dtype=F64))
            exact = mp.mpf(z.item())
            yield Gamma(*one).log_prob(z), gamma_log_density([exact], [x], [y]), x - 1 - y * exact
            z = torch.sigmoid(torch.log(one[0] / one[1]) + step * (1 / a + 1 / b) ** 0.5)
            if 0 < z < 1 - 1e-14:
                exact = mp.mpf(z.item())
                slope = (x - 1) - (y - 1) * exact / (1 - exact)
                yield Beta(*one).log_prob(z), dirichlet_log_density([exact, 1 - exact], [x, y]), slope
            shares = torch.tensor([[a, b, 2.0]], dtype=F64).log().add(torch.tensor([step / a**0.5, 0.0, 0.1]))
            shares = torch.softmax(shares, -1)
            if shares.min() > 0:
                values, fields = exactly(shares[0]), [x, y, mp.mpf(2)]
                slope = mp.fsum(abs(c - 1 - mp.fsum(fields) * z) for c, z in zip(fields, values, strict=True))
                found = Dirichlet(torch.tensor([[a, b, 2.0]], dtype=F64)).log_prob(shares)
                yield found, dirichlet_log_density(values, fields), slope


def check_values(sizes):
    with mp.workdps(DIGITS):
        for found, exact, slope in quantities(sizes):
            conditioned(found, exact, slope)


def test_densities_and_entropies_of_the_gamma_family():
    check_values([0.7, 1e8, 1e20])


@wide
def test_densities_and_entropies_of_all_sizes():
    check_values([1e-3, 0.02, 0.7, 1.0, 2.0, 9.99, 10.01, 30.0, 1e4, 1e8, 1e12, 1e15, 1e20])


def test_the_figures_that_were_wrong():
    """Beta(2, 1e20), Gamma(1e15, 1), Dirichlet(1e12, 1e12) had the entropies 45.6, 20.0 and another's."""
    one = lambda *values: torch.tensor([values], dtype=F64)  # noqa: E731
    assert Beta(one(2.0), one(1e20)).entropy().item() == pytest.approx(-44.474, abs=1e-3)
    assert Gamma(one(1e15), one(1.0)).entropy().item() == pytest.approx(18.68833, abs=1e-5)
    with mp.workdps(DIGITS):
        conditioned(Dirichlet(one(1e12, 1e12)).entropy(), dirichlet_entropy([mp.mpf(10) ** 12] * 2))
    nearby = ContinuousBernoulli(torch.tensor([[20.0]])).kl(ContinuousBernoulli(torch.tensor([[20.01]])))
    assert nearby.item() == pytest.approx(1.25e-7, rel=1e-3)


@pytest.mark.parametrize("dtype", [F32, F64])
@pytest.mark.parametrize("logit", [s * t for t in (1e-3, 0.4999, 0.5001, 20.0, 1e3, 1e20) for s in (1, -1)])
def test_continuous_bernoullis_of_every_logit(logit, dtype):
    q = ContinuousBernoulli(torch.tensor([[logit]], dtype=dtype))
    with mp.workdps(DIGITS):
        a = mp.mpf(q.logits.item())
        below = -abs(a)
        rest = mp.log((1 - mp.exp(below)) / abs(a))  # A(a) - max(a, 0)
        entropy = rest - below * (-1 / below - mp.exp(below) / (1 - mp.exp(below)))
        conditioned(q.entropy(), entropy, 0, dtype)
        for x in (0.0, 1e-3, 0.5, 1 - 2.0**-20, 1.0):
            z = torch.tensor([[x]], dtype=dtype)
            share = mp.mpf(z.item()) - (1 if a > 0 else 0)
            found = q.log_prob(z)
            exact = share * a - rest
            assert abs(mp.mpf(found.item()) - exact) <= 8 * torch.finfo(dtype).eps * (1 + abs(exact)), x

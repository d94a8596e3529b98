"""What is left of log gamma functions, logarithms of ratios, and the tilted uniform's normaliser, against mpmath."""

import itertools

import mpmath as mp
import pytest
import torch
from torch.func import grad

from jensen.core.distributions import ContinuousBernoulli, exponential_tilt
from jensen.core.numerics import digamma_rest, exp_less_tangent, log_gamma_rest, log_gamma_rest_divergence, log_ratio

DIGITS = 200
SIZES = [1e-20, 1e-3, 0.1, 1.0, 2.0, 9.99, 10.0, 10.01, 30.0, 1e6, 1e15, 1e20]
CHANGES = [1e-12, 1e-6, -1e-6, 1e-2, 0.4, -0.4, 0.7, -0.7, 50.0, -0.999]


def close(found, exact, rtol):
    assert abs(mp.mpf(found.item()) - exact) <= rtol * abs(exact), (found.item(), exact)


def value(x):
    return torch.tensor(x, dtype=torch.float64)


def rest(x):
    return mp.loggamma(x) - x * mp.log(x) + x


def rest_slope(x):
    return mp.digamma(x) - mp.log(x)


@pytest.mark.parametrize("x", SIZES)
def test_the_rest_of_the_log_gamma_function_and_its_slope(x):
    with mp.workdps(DIGITS):
        close(log_gamma_rest(value(x)), rest(mp.mpf(x)), 2e-14)
        close(digamma_rest(value(x)), rest_slope(mp.mpf(x)), 2e-14)
        close(grad(log_gamma_rest)(value(x)), rest_slope(mp.mpf(x)), 2e-14)


@pytest.mark.parametrize("q", SIZES)
def test_the_divergence_of_the_rest(q):
    with mp.workdps(DIGITS):
        for change in CHANGES:
            p, base = mp.mpf(q * (1 + change)), mp.mpf(q)
            exact = rest(p) - rest(base) - (p - base) * rest_slope(base)
            close(log_gamma_rest_divergence(value(q * (1 + change)), value(q)), exact, 1e-12)
            slope = grad(log_gamma_rest_divergence)(value(q * (1 + change)), value(q))
            close(slope, rest_slope(p) - rest_slope(base), 1e-10 if abs(change) > 1e-9 else 1e-3)


def test_a_gap_that_is_known_better_keeps_its_digits():
    """1e20 + 3: the sum of two floats is one of them."""
    q, gap = value(1e20), value(3.0)
    with mp.workdps(DIGITS):
        p = mp.mpf(10) ** 20 + 3
        close(log_ratio(q + gap, q, gap), mp.log(p / mp.mpf(10) ** 20), 1e-15)
        exact = rest(p) - rest(mp.mpf(10) ** 20) - 3 * rest_slope(mp.mpf(10) ** 20)
        close(log_gamma_rest_divergence(q + gap, q, gap), exact, 1e-12)


@pytest.mark.parametrize(("p", "q"), list(itertools.permutations([1e-300, 0.3, 0.3 * (1 + 1e-15), 0.5, 1e300], 2)))
def test_log_ratios(p, q):
    with mp.workdps(DIGITS):
        close(log_ratio(value(p), value(q)), mp.log(mp.mpf(p) / mp.mpf(q)), 1e-15)


@pytest.mark.parametrize("t", [1e-12, -1e-6, 0.4999, -0.5001, 3.0, -40.0])
def test_exponentials_less_their_tangent(t):
    with mp.workdps(DIGITS):
        close(exp_less_tangent(value(t)), mp.expm1(mp.mpf(t)) - mp.mpf(t), 1e-14)


@pytest.mark.parametrize("a", [-1.0, -0.5, -1e-9, 0.0, 1e-9, 0.5, 1.0])
def test_the_tilted_uniform_is_smooth(a):
    """Slopes of A and of its divergences across 0 and where its series ends: 1/2, 1/12 and their likes."""
    slope = exponential_tilt.log_normaliser_slope
    torch.testing.assert_close(grad(exponential_tilt.log_normaliser)(value(a)), slope(value(a)), rtol=1e-14, atol=0)
    for q in (0.3, -3.0, 50.0):
        of_p = grad(exponential_tilt.log_normaliser_divergence)(value(a), value(q))
        torch.testing.assert_close(of_p, slope(value(a)) - slope(value(q)), rtol=1e-12, atol=0)
    bend = grad(grad(lambda t: ContinuousBernoulli(t[None, None]).entropy().sum()))(value(0.0))
    torch.testing.assert_close(bend, value(-1 / 12), rtol=1e-12, atol=0)


def below(a):
    """A(a) less its large part a for a > 0, and its slope."""
    if a > 0:
        rest, slope = below(-a)
        return rest, 1 - slope
    return mp.log((1 - mp.exp(a)) / -a), -1 / a - mp.exp(a) / (1 - mp.exp(a))


@pytest.mark.parametrize("size", [1e-20, 1e-3, 0.4, 0.99, 1.01, 5.0, 79.0, 81.0, 1e6, 1e20])
@pytest.mark.parametrize("sign", [1, -1])
def test_the_divergence_of_the_tilted_uniform(sign, size):
    q = sign * size
    with mp.workdps(DIGITS):
        for change in [*CHANGES, -1.7, -30.0]:
            p = q * (1 + change)
            turned, base = (mp.mpf(t if q < 0 else -t) for t in (p, q))
            value_p = below(turned)[0] + max(turned, 0)
            exact = value_p - below(base)[0] - (turned - base) * below(base)[1]
            close(exponential_tilt.log_normaliser_divergence(value(p), value(q)), exact, 1e-11)

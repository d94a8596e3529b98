"""Paths through gammas, betas and Dirichlets: the implicit gradient, and means of gradients in closed form."""

import numpy as np
import pytest
import torch
from scipy import special
from torch.func import grad, jvp, vmap

from jensen import laws
from jensen.core import keys
from jensen.core.distributions import Beta, Dirichlet, Gamma
from jensen.core.distributions.standard_gamma import log_standard_gamma
from tests.core.test_gamma_family import CONCENTRATIONS, KEY, U, instance


def test_the_implicit_gradient_is_the_quantile_s():
    """Against central differences of scipy's quantile with Richardson's step, in log z."""
    u, a = (t.clone() for t in torch.broadcast_tensors(U[:, None], CONCENTRATIONS))

    def difference(h):
        above, below = (special.gammaincinv((a + sign * h).numpy(), u.numpy()) for sign in (1, -1))
        return torch.from_numpy(np.log(above) - np.log(below)) / (2 * h)

    h = 1e-3 * a / (1 + a.sqrt())
    exact = (4 * difference(h) - difference(2 * h)) / 3
    slope = grad(lambda a: log_standard_gamma(u, a).sum())(a)
    torch.testing.assert_close(slope, exact, rtol=1e-5, atol=0)
    forward = jvp(lambda a: log_standard_gamma(u, a), (a,), (torch.ones_like(a),))[1]
    torch.testing.assert_close(forward, slope)


def estimates(value, params, reps=2000, s=2):
    """Independent gradients of mean_s value(params, key), one per key."""
    return vmap(grad(lambda p, k: value(p, k, s)), in_dims=(None, 0))(params, keys.split(KEY, reps))


def test_gamma_gradients_are_unbiased():
    params = tuple(instance(Gamma, n=1))

    def value(params, key, s):
        q = Gamma(*params)
        z = q.sample(q.noise(key, s))
        return (z.log() + z.square()).mean(0).sum()

    def exact(params):
        a, b = params
        return (torch.digamma(a) - torch.log(b) + a * (a + 1) / b.square()).sum()

    for draws, slope in zip(estimates(value, params), grad(exact)(params), strict=True):
        laws.mean_is(draws, slope)


@pytest.mark.parametrize("scale", [1.0, 0.05])
def test_gamma_gradients_are_unbiased_in_float32_where_a_draw_underflows(scale):
    """At 0.05 every 80th draw is less than the least float32: its path is still the draw's that would be there."""
    a, rate = torch.tensor([[scale]]), torch.ones(1, 1)

    def value(a, key, s):
        q = Gamma(a, rate)
        return q.sample(q.noise(key, s)).log().mean()

    laws.mean_is(estimates(value, a), torch.polygamma(1, a))


def test_beta_and_dirichlet_gradients_are_unbiased():
    def value(family):
        def mean(params, key, s):
            q = family(*params)
            z = q.sample(q.noise(key, s))
            return (z.log() + z.square()).mean(0).sum()

        return mean

    def exact(a, total):
        return (torch.digamma(a) - torch.digamma(total) + a * (a + 1) / (total * (total + 1))).sum()

    beta, dirichlet = tuple(instance(Beta, n=1)), tuple(instance(Dirichlet, n=1))
    cases = [
        (Beta, beta, grad(lambda p: exact(p[0], p[0] + p[1]))),
        (Dirichlet, dirichlet, grad(lambda p: exact(p[0], p[0].sum(-1, keepdim=True)))),
    ]
    for family, params, slope in cases:
        for draws, right in zip(estimates(value(family), params), slope(params), strict=True):
            laws.mean_is(draws, right)

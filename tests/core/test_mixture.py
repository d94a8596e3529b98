"""Mixtures: densities by hand, draws by Kolmogorov and Smirnov, and paths against derivatives of the cdf."""

import numpy as np
import pytest
import torch
from scipy import stats
from torch.func import grad

from jensen.core import bijections, keys, trees
from jensen.core.distributions import (
    Cauchy,
    Exponential,
    FullNormal,
    InverseGamma,
    Laplace,
    Logistic,
    LogNormal,
    Mixture,
    StudentT,
    Uniform,
)

KEY = keys.key(34)


def noise(seed, *shape):
    return keys.normal(keys.fold_in(KEY, seed), shape, torch.float64)


LOGITS, LOC, LOG_SCALE = noise(0, 1, 3), 2 * noise(1, 1, 3, 1), 0.3 * noise(2, 1, 3, 1)
ONE_D = {
    "Laplace": Mixture(LOGITS, Laplace(LOC, LOG_SCALE)),
    "Logistic": Mixture(LOGITS, Logistic(LOC, LOG_SCALE)),
    "Cauchy": Mixture(LOGITS, Cauchy(LOC, LOG_SCALE)),
    "LogNormal": Mixture(LOGITS, LogNormal(LOC, LOG_SCALE)),
    "Exponential": Mixture(LOGITS, Exponential(LOC.exp())),
    "InverseGamma": Mixture(LOGITS, InverseGamma(LOC.exp(), LOG_SCALE.exp())),
    "StudentT": Mixture(LOGITS, StudentT(LOC.exp(), LOC, LOG_SCALE)),
    "Uniform": Mixture(LOGITS, Uniform(LOC, LOC + LOG_SCALE.exp())),
}
each = pytest.mark.parametrize("q", ONE_D.values(), ids=ONE_D)


def cdf(q, z):
    """sum_k weight_k F_k(z) of one dimension, z (s,)."""
    weights = torch.softmax(q.logits, -1)[0]
    parts = [trees.map(lambda t, k=k: t[:, k], q.components).cdf(z[:, None, None])[:, 0, 0] for k in range(3)]
    return sum(weight * part for weight, part in zip(weights, parts, strict=True))


@each
def test_densities_are_the_slopes_of_the_cdf_and_draws_are_of_it(q):
    z = q.sample(q.noise(KEY, 2000))
    assert stats.kstest(z[:, 0, 0].numpy(), lambda t: cdf(q, torch.from_numpy(t)).numpy()).pvalue > 1e-4
    slope = grad(lambda t: cdf(q, t).sum())(z[:50, 0, 0])
    torch.testing.assert_close(q.log_prob(z[:50])[:, 0], torch.log(slope), rtol=1e-9, atol=1e-9)


@each
def test_paths_are_derivatives_of_the_cdf(q):
    """dz / d field = -(d cdf / d field) / density, at every draw, by central differences."""
    draws = q.noise(KEY, 4)
    vector, unravel = trees.ravel(q)
    z = q.sample(draws)[:, 0, 0]
    slopes = torch.func.jacrev(lambda v: unravel(v).sample(draws)[:, 0, 0])(vector)
    step = 1e-6 * torch.eye(len(vector), dtype=torch.float64)
    exact = torch.stack([(cdf(unravel(vector + e), z) - cdf(unravel(vector - e), z)) / 2e-6 for e in step], -1)
    torch.testing.assert_close(slopes, -exact / q.log_prob(z[:, None, None]).exp(), rtol=1e-5, atol=1e-6)


def test_paths_of_several_dimensions_are_those_of_conditional_cdfs():
    """One dimension after another by bisection: z_i solves F(z_i | z_1 ... z_(i - 1)) = u_i (Rosenblatt, 1952)."""
    q = Mixture(noise(3, 1, 3), Logistic(noise(4, 1, 3, 3), 0.3 * noise(5, 1, 3, 3)))
    draws = q.noise(KEY, 1)
    vector, unravel = trees.ravel(q)
    z = q.sample(draws)[0, 0].detach()

    def levels(q, z):
        """The conditional distribution functions at z."""
        x = (z - q.components.loc[0]) * torch.exp(-q.components.log_scale[0])
        below = torch.sigmoid(x)
        log_p = torch.nn.functional.logsigmoid(x) + torch.nn.functional.logsigmoid(-x) - q.components.log_scale[0]
        weights = torch.softmax(torch.log_softmax(q.logits[0], -1)[:, None] + log_p.cumsum(-1) - log_p, 0)
        return (weights * below).sum(0)

    u = levels(q, z)

    def rosenblatt(q):
        found = torch.zeros(0, dtype=torch.float64)
        for i in range(3):
            low, high = torch.tensor(-50.0).double(), torch.tensor(50.0).double()
            for _ in range(70):
                middle = (low + high) / 2
                rises = levels(q, torch.cat([found, middle[None], z[i + 1 :]]))[i] < u[i]
                low, high = torch.where(rises, middle, low), torch.where(rises, high, middle)
            found = torch.cat([found, low[None]])
        return found

    slopes = torch.func.jacrev(lambda v: unravel(v).sample(draws)[0, 0])(vector)
    step = 1e-5 * torch.eye(len(vector), dtype=torch.float64)
    exact = torch.stack([(rosenblatt(unravel(vector + e)) - rosenblatt(unravel(vector - e))) / 2e-5 for e in step], -1)
    torch.testing.assert_close(slopes, exact, rtol=1e-5, atol=1e-7)


def test_one_component_is_the_component():
    alone = Laplace(noise(6, 2, 3), noise(7, 2, 3))
    q = Mixture(torch.zeros(2, 1, dtype=torch.float64), trees.map(lambda t: t[:, None], alone))
    draws = q.noise(KEY, 4)
    torch.testing.assert_close(q.sample(draws), alone.sample(draws["component"]))
    torch.testing.assert_close(q.log_prob(q.sample(draws)), alone.log_prob(q.sample(draws)))
    torch.testing.assert_close(q.mean(), alone.mean())
    path = grad(lambda q: q.sample(draws).square().sum())(q).components
    exact = grad(lambda q: q.sample(draws["component"]).square().sum())(alone)
    torch.testing.assert_close(tuple(t[:, 0] for t in path), tuple(exact))


def test_strata_have_the_mean_and_the_gradient_with_less_variance():
    """Of f(z) = sin z, whose mean under a logistic component is sin(loc) pi s / sinh(pi s), s its scale."""
    q = ONE_D["Logistic"]

    def exact(q):
        s = torch.pi * q.components.log_scale.exp()
        means = torch.sin(q.components.loc) * s / torch.sinh(s)
        return (torch.softmax(q.logits, -1)[..., None] * means).sum()

    def stratified(q, draws):
        z, weights = q.strata(draws)
        return (weights[..., None] * z.sin()).sum(2)[:, 0, 0]

    draws = q.noise(KEY, 4000)
    found, plain = stratified(q, draws), q.sample(draws).sin()[:, 0, 0]
    assert abs(found.mean() - exact(q)) < 4.5 * found.std() / 4000**0.5
    assert found.var() < 0.9 * plain.var()
    slopes = [
        grad(f)(q) for f in (lambda q: stratified(q, draws).mean(), lambda q: q.sample(draws).sin().mean(), exact)
    ]
    for one, implicit, right in zip(*(trees.leaves(slope) for slope in slopes), strict=True):
        np.testing.assert_allclose(one.numpy(), right.numpy(), atol=0.05)
        np.testing.assert_allclose(implicit.numpy(), right.numpy(), atol=0.05)


def test_components_without_a_cdf_have_no_path_and_constrained_ones_keep_their_bijection():
    full = Mixture(noise(3, 1, 3), FullNormal(noise(4, 1, 3, 2), noise(5, 1, 3, 2), noise(6, 1, 3, 2, 2)))
    assert not full.reparameterised
    assert ONE_D["Laplace"].reparameterised
    assert ONE_D["Exponential"].bijection() == bijections.Positive()
    assert ONE_D["Laplace"].bijection() == bijections.Real()
    with pytest.raises(ValueError, match=r"expected components with fields \(1, 3\) first as logits, got \(1, 1, 2\)"):
        Mixture(noise(3, 1, 3), Laplace(noise(4, 1, 1, 2), noise(4, 1, 1, 2))).log_prob(noise(5, 4, 1, 2))
    with pytest.raises(TypeError, match="expected components with a mean, got Cauchy: average samples"):
        ONE_D["Cauchy"].mean()

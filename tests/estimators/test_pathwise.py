from itertools import pairwise

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.func import grad, vmap

from jensen import laws
from jensen.core import bounds, keys
from jensen.core.distributions import Bernoulli, Categorical, DiagNormal, FullNormal, Gamma
from jensen.estimators.gradients import analytic_kl, pathwise
from jensen.laws import strategies
from jensen.laws.oracles import LinearGaussian

KEY = keys.key(7)


def model(n=2, data=3, d=2) -> LinearGaussian:
    each = [keys.normal(k, shape, torch.float64) for k, shape in zip(
        keys.split(KEY, 3), [(data, d), (data,), (n, data)], strict=True
    )]  # fmt: skip
    return LinearGaussian(each[0], each[1], torch.tensor(-0.3, dtype=torch.float64), each[2])


def parameters(oracle: LinearGaussian) -> dict:
    """Away from the posterior, where a biased gradient is many standard errors off."""
    shape = (len(oracle.x), oracle.weight.shape[1])
    loc = 0.5 * keys.normal(keys.fold_in(KEY, 1), shape, torch.float64)
    return {"weight": oracle.weight, "loc": loc, "log_scale": loc.flip(0) * 0.4 - 0.3}


def draws(estimate, oracle, params, reps, s, key=KEY):
    """Independent gradients of the mean over data, one per key."""

    def value(params, key):
        q = DiagNormal(params["loc"], params["log_scale"])
        return estimate(oracle._replace(weight=params["weight"]).log_joint, q, q.noise(key, s)).sum()

    return vmap(grad(value), in_dims=(None, 0))(params, keys.split(key, reps))


def agrees(estimate, oracle, params, exact, s):
    for name in params:
        laws.mean_is_exact(
            lambda key, reps, name=name: draws(estimate, oracle, params, reps, s, key)[name], exact[name], KEY
        )


def test_analytic_kl_is_unbiased_and_less_noisy():
    oracle = model()
    params = parameters(oracle)
    exact = grad(lambda p: oracle._replace(weight=p["weight"]).elbo(p["loc"], p["log_scale"]).sum())(params)
    zero = torch.zeros(2, dtype=torch.float64)
    prior = DiagNormal(zero, zero)

    def estimate(log_joint, q, eps):
        return analytic_kl(lambda z: log_joint(z) - prior.log_prob(z), q, eps, prior=prior)

    agrees(estimate, oracle, params, exact, 1)
    estimates, noisy = draws(estimate, oracle, params, 2000, 1), draws(pathwise, oracle, params, 2000, 1)
    assert estimates["loc"].var(0).sum() < noisy["loc"].var(0).sum()


@pytest.mark.law
@given(strategies.linear_gaussians(), strategies.seeds, st.data())
def test_elbo_is_evidence_less_kl_to_the_posterior(oracle, key, data):
    """The identity log p(x) - ELBO = KL(q || p(z | x)) >= 0, at the library's value of the exact bound."""
    n, d = len(oracle.x), oracle.weight.shape[1]
    loc, log_scale = data.draw(strategies.tensors((n, d), st.floats(-3, 3))), torch.zeros(n, d, dtype=torch.float64)
    zero = torch.zeros(d, dtype=torch.float64)
    prior, q = DiagNormal(zero, zero), DiagNormal(loc, log_scale)
    eps = signs(d).expand(-1, n, d)  # a quadratic log likelihood has its exact mean over the corners ±1
    value = analytic_kl(lambda z: oracle.log_joint(z) - prior.log_prob(z), q, eps, prior=prior)
    torch.testing.assert_close(value, oracle.elbo(loc, log_scale), rtol=1e-9, atol=1e-9)
    mean, covariance = oracle.posterior()
    posterior = torch.distributions.MultivariateNormal(mean, covariance)
    gap = torch.distributions.kl_divergence(
        torch.distributions.MultivariateNormal(loc, torch.eye(d, dtype=torch.float64)), posterior
    )
    torch.testing.assert_close(value + gap, oracle.log_evidence(), rtol=1e-8, atol=1e-8)
    laws.below(value, oracle.log_evidence(), 1e-8)


def signs(d):
    corners = torch.cartesian_prod(*[torch.tensor([-1.0, 1.0], dtype=torch.float64)] * d)
    return corners.reshape(-1, 1, d)


@pytest.mark.law
@given(strategies.linear_gaussians(latent=1), strategies.seeds)
def test_iwae_rises_below_the_evidence(oracle, key):
    """Statistically: E L_1 <= E L_2 <= E L_5 <= log p(x), over 400 independent sets of weights."""
    n = len(oracle.x)
    q = DiagNormal(torch.zeros(n, 1, dtype=torch.float64), torch.zeros(n, 1, dtype=torch.float64))
    z = vmap(lambda k: q.sample(q.noise(k, 5)))(keys.split(key, 400))
    log_w = oracle.log_joint(z.flatten(0, 1)).unflatten(0, (400, 5)) - q.log_prob(z)
    each = log_w.movedim(0, 1).flatten(1)  # 400 sets of weights, as data
    levels = [bounds.iwae(each[:k]).unflatten(0, (400, n)) for k in (1, 2, 5)]
    for fewer, more in pairwise(levels):
        laws.mean_is_at_most(fewer - more, torch.zeros(n, dtype=torch.float64), errors=5)
    laws.mean_is_at_most(levels[-1], oracle.log_evidence(), errors=5)


@pytest.mark.law
@given(strategies.sigmoid_beliefs())
def test_exact_bounds_rise_below_the_evidence(case):
    """Over every k-tuple of values: the library's bound of the library's weights, weighted by q, for k = 1, 2, 3."""
    oracle, logits = case
    q = Bernoulli(logits)
    z = q.support()
    log_q = q.log_prob(z)
    log_w = oracle.log_joint(z) - log_q
    exact = []
    for k in (1, 2, 3):
        tuples = torch.cartesian_prod(*[torch.arange(len(z))] * k).reshape(-1, k)
        values = torch.stack([bounds.iwae(log_w[t]) for t in tuples])
        exact.append((log_q[tuples].sum(1).exp() * values).sum(0))
        torch.testing.assert_close(exact[-1], oracle.bound(logits, k), rtol=1e-9, atol=1e-9)
    laws.rises(exact)
    laws.below(exact[-1], oracle.log_evidence())
    torch.testing.assert_close((log_q.exp() * log_w).sum(0), exact[0], rtol=1e-9, atol=1e-9)


def test_analytic_kl_is_the_reconstruction_less_the_kl_of_any_family_with_one():
    full = FullNormal.from_diagonal(DiagNormal(torch.full((3, 2), 0.3), torch.full((3, 2), -0.2)))
    gamma = Gamma(torch.full((3, 2), 2.0), torch.full((3, 2), 1.5))
    for q in (full, gamma):
        prior = type(q)(*(0.5 * t for t in q))
        noise = q.noise(KEY, 4)
        value = analytic_kl(lambda z: z.square().sum(-1), q, noise, prior=prior)
        torch.testing.assert_close(value, q.sample(noise).square().sum(-1).mean(0) - q.kl(prior))


@pytest.mark.parametrize("q", [Bernoulli(torch.zeros(2, 3)), Categorical(torch.zeros(2, 3, 4))])
def test_a_discrete_q_raises_and_names_the_alternative(q):
    with pytest.raises(TypeError, match=r"pathwise needs a reparameterised q.*score with a baseline"):
        pathwise(lambda z: z.sum(-1), q, q.noise(KEY, 2))


def test_a_density_that_sums_over_data_raises():
    q = DiagNormal(torch.zeros(4, 2), torch.zeros(4, 2))
    with pytest.raises(ValueError, match="one value per sample and datum"):
        pathwise(lambda z: -z.square().sum((-2, -1)), q, q.noise(KEY, 3))

"""Bayes by backprop: the ELBO of sampled pre-activations is that of sampled weights, with less noise."""

import math
from itertools import combinations

import pytest
import torch
from scipy import stats

from jensen.core import keys
from jensen.core.distributions import DiagNormal
from jensen.core.models import bayes
from jensen.estimators.diagnostics import quality
from jensen.estimators.gradients import pathwise
from jensen.estimators.inference import bayes_by_backprop
from jensen.estimators.inference.bayes_by_backprop import elbo, fit, init, update

KEY = keys.key(21)
X = torch.linspace(-2, 2, 12, dtype=torch.float64)[:, None]
POSTERIOR = bayes.condition(bayes.bayesian_network(1, 3), {"x": X, "y": torch.sin(2 * X[:, 0])})


def member(log_scale=-1.5):
    loc = keys.normal(KEY, (1, POSTERIOR.d), torch.float64)
    return DiagNormal(loc, torch.full_like(loc, log_scale))


def test_the_elbo_is_that_of_sampled_weights():
    q = member()
    log_likelihood, kl = elbo(q, POSTERIOR, KEY, 4000)
    z = q.sample(q.noise(keys.key(22), 4000))
    terms = (POSTERIOR(z) - q.log_prob(z))[:, 0]
    error = math.sqrt((log_likelihood.var() + terms.var()) / 4000)
    assert abs(log_likelihood.mean() - kl - terms.mean()) <= 4 * error


def test_the_kl_is_that_of_samples():
    q = member()
    z = q.sample(q.noise(keys.key(23), 4000))
    terms = (q.log_prob(z) - POSTERIOR.log_prior(z))[:, 0]
    assert abs(elbo(q, POSTERIOR, KEY)[1] - terms.mean()) <= 4 * terms.std() / math.sqrt(4000)


def test_the_kl_of_a_wide_log_sigma_is_that_of_quadrature():
    """E log q - log p, p half-normal of sigma: 2 N(sigma; 0, 1) sigma in log sigma."""
    place, wide = POSTERIOR.flat_names.index("sigma"), member()
    wide.loc[0, place], wide.log_scale[0, place] = 0.4, -0.3
    point = member(-1.5)
    found = elbo(wide, POSTERIOR, KEY)[1] - elbo(point, POSTERIOR, KEY)[1]

    def kl(q):
        normal = stats.norm(q.loc[0, place].item(), q.log_scale[0, place].exp().item())
        log_p = lambda u: math.log(2) + stats.norm.logpdf(math.exp(u)) + u  # noqa: E731
        return -normal.entropy() - normal.expect(log_p, lb=-8, ub=8)

    assert found.item() == pytest.approx(kl(wide) - kl(point), abs=1e-7)


def test_gradients_have_less_noise_than_those_of_sampled_weights():
    q = member(-1.0)

    def local(loc, key):
        log_likelihood, kl = elbo(q._replace(loc=loc), POSTERIOR, key)
        return log_likelihood.mean() - kl

    def weights(loc, key):
        there = q._replace(loc=loc)
        return pathwise(POSTERIOR, there, there.noise(key, 1)).sum()

    found = [quality(lambda key, f=f: torch.func.grad(f)(q.loc, key), keys.split(KEY, 100)) for f in (local, weights)]
    ours, theirs = (each["all"].variance for each in found)
    assert ours < 0.8 * theirs


def test_minibatches_are_unbiased():
    """Without noise in the weights the log likelihood is a sum over data."""
    q = member(-40.0)
    whole = elbo(q, POSTERIOR, KEY)[0]
    batches = [elbo(q, POSTERIOR.minibatch(torch.tensor(i)), KEY)[0] for i in combinations(range(12), 11)]
    torch.testing.assert_close(torch.stack(batches).mean(0), whole, rtol=1e-6, atol=1e-6)


def test_fit_raises_the_elbo_and_reports_it_on_fresh_noise():
    q, trace = fit(KEY, POSTERIOR, steps=150, step_size=0.05)
    z = q.sample(q.noise(keys.key(24), 2000))
    terms = (POSTERIOR(z) - q.log_prob(z))[:, 0]
    error = math.hypot(terms.std() / math.sqrt(2000), trace.standard_error[-1])
    assert abs(trace.objective[-1] - terms.mean()) <= 4 * error
    assert trace.objective[-1] > trace.objective[:10].mean() + 5
    torch.testing.assert_close(sum(trace.terms.values()), trace.objective)


def test_fit_takes_minibatches():
    batch = lambda key: POSTERIOR.minibatch(keys.permutation(key, 12)[:4])  # noqa: E731
    q, trace = fit(KEY, POSTERIOR, steps=3, batch=batch)
    assert q.loc.shape == (1, POSTERIOR.d)
    assert trace.objective.shape == (4,)


OTHER = bayes.condition(bayes.linear_regression(1), POSTERIOR.data)


@pytest.mark.parametrize(
    ("call", "named"),
    [
        (lambda: fit(KEY, OTHER), "posterior"),
        (lambda: fit(7, POSTERIOR), "key"),
        (lambda: fit(KEY, POSTERIOR, steps=0), "steps"),
        (lambda: fit(KEY, POSTERIOR, step_size=-1.0), "step_size"),
        (lambda: fit(KEY, POSTERIOR, batch=POSTERIOR.minibatch(torch.arange(3)).data), "batch"),
        (lambda: update(POSTERIOR, POSTERIOR, KEY), "state"),
        (lambda: update(init(POSTERIOR, KEY), POSTERIOR, KEY, s=0), "s"),
        (lambda: bayes_by_backprop.init(OTHER, KEY), "posterior"),
    ],
)
def test_mistakes_are_named(call, named):
    with pytest.raises((TypeError, ValueError), match=rf"expected {named}\b"):
        call()

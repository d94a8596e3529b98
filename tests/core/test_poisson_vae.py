"""The Poisson VAE: its KL and its exact loss against sums over counts, its gradients against finite support."""

import pytest
import torch
from scipy import stats
from torch.func import grad

from jensen.core import keys, trees
from jensen.core.models.latent import likelihoods, poisson
from jensen.estimators import gradients
from jensen.estimators.gradients import baselines
from jensen.laws import mean_is_exact

KEY = keys.key(60)
X = keys.normal(KEY, (4, 3), torch.float64)
MODEL = poisson.build(3, 2)
START = MODEL.init(KEY, X)
PARAMS = trees.map(lambda t: t + 0.3 * torch.sin(torch.arange(t.numel(), dtype=t.dtype)).reshape(t.shape), START)
MOST = 25  # counts, above which no unit here has 1e-15


def counts():
    """Every pair of counts, (s, n, 2)."""
    one = torch.arange(MOST, dtype=torch.float64)
    return torch.cartesian_prod(one, one)[:, None].expand(-1, len(X), -1)


def summed(params):
    """The ELBO of each datum, by the sum over counts."""
    q, z = MODEL.posterior(params, X), counts()
    log_q = q.log_prob(z)
    return (log_q.exp() * (MODEL.log_joint(params, X, z) - log_q)).sum(0)


def exact(params):
    q = MODEL.posterior(params, X)
    return MODEL.reconstruction(params, X) - q.kl(MODEL.prior(params, len(X)))


def test_the_exact_loss_is_the_sum_over_counts_and_so_is_its_gradient():
    torch.testing.assert_close(exact(PARAMS), summed(PARAMS), rtol=1e-9, atol=1e-9)
    found, expected = (grad(lambda p, f=f: f(p).sum())(PARAMS) for f in (exact, summed))
    for path, slope in trees.paths(expected).items():
        torch.testing.assert_close(trees.paths(found)[path], slope, rtol=1e-7, atol=1e-7)


def test_without_the_variance_of_counts_the_loss_is_another():
    """A planted bug: the error at the rates alone."""
    at_rate = MODEL.likelihood(PARAMS, MODEL.posterior(PARAMS, X).rate[None]).log_prob(X)[0]
    assert (at_rate - MODEL.reconstruction(PARAMS, X) > 0.01).all()


def test_the_kl_is_that_of_rates_and_ratios():
    """lambda log(lambda / r) + r - lambda = r (1 - dr + dr log dr), and the sum over counts by scipy."""
    q, p = MODEL.posterior(PARAMS, X), MODEL.prior(PARAMS, len(X))
    ratio = q.rate / p.rate
    torch.testing.assert_close(q.kl(p), (p.rate * (1 - ratio + ratio * ratio.log())).sum(-1))
    z = torch.arange(MOST, dtype=torch.float64)[:, None, None].numpy()
    log_q, log_p = (stats.poisson(d.rate.detach().numpy()).logpmf(z) for d in (q, p))
    expected = torch.from_numpy(((log_q - log_p) * stats.poisson(q.rate.detach().numpy()).pmf(z)).sum((0, 2)))
    torch.testing.assert_close(q.kl(p), expected, rtol=1e-9, atol=1e-12)


def test_the_score_has_the_gradient_of_the_exact_loss():
    """Of 4 samples with the others' mean for a baseline."""

    def draw(key, s):
        noise = MODEL.posterior(PARAMS, X).noise(key, 4 * s).reshape(s, 4, len(X), 2)

        def one(noise):
            def value(params):
                q = MODEL.posterior(params, X)
                log_p = lambda z: MODEL.log_joint(params, X, z)  # noqa: E731
                return gradients.score(log_p, q, noise, baseline=baselines.leave_one_out).sum()

            return trees.ravel(grad(value)(PARAMS))[0][None]

        return torch.func.vmap(one)(noise)

    expected = trees.ravel(grad(lambda p: exact(p).sum())(PARAMS))[0]
    mean_is_exact(draw, expected[None], KEY)


def test_log_ratios_level_off():
    """Whatever the encoder says, rates are at most e^5 times the prior's, and their gradient points back."""

    def rate(x):
        return MODEL.posterior(PARAMS, x * X).rate.sum()

    far = torch.tensor(1e4, dtype=torch.float64)
    assert rate(far) < 2 * len(X) * poisson.RATE * 1.5 * torch.e**poisson.MOST
    assert torch.isfinite(grad(rate)(far))


def test_what_is_not_linear_has_no_exact_loss():
    for model in (poisson.build(3, 2, decoder=(4,)), poisson.build(3, 2, likelihood=likelihoods.SQUARED_ERROR)):
        params = model.init(KEY, X)
        assert not model.linear
        with pytest.raises(ValueError, match=r"expected a linear decoder under a Gaussian likelihood, got decoder=\("):
            model.reconstruction(params, X)


def test_the_dictionary_is_what_a_count_adds():
    z = torch.zeros(1, 1, 2, dtype=torch.float64)
    on = MODEL.likelihood(PARAMS, z + torch.tensor([0.0, 1.0])).mean() - MODEL.likelihood(PARAMS, z).mean()
    torch.testing.assert_close(on[0, 0], MODEL.dictionary(PARAMS)[1])

"""Conjugate pairs: Bayes' rule at every parameter, predictives by quadrature, one by one as all at once."""

import numpy as np
import pytest
import torch
from scipy import integrate, stats

from jensen import laws
from jensen.core import exponential, keys, trees
from jensen.core.distributions import Bernoulli, Beta, Categorical, DiagNormal, Dirichlet, Gamma, InverseGamma, Poisson
from jensen.core.exponential import (
    BetaBernoulli,
    DirichletCategorical,
    GammaPoisson,
    NormalInverseGamma,
    NormalNormal,
    NormalWishart,
)

KEY = keys.key(38)


def noise(seed, *shape):
    return keys.normal(keys.key(seed), shape, torch.float64)


def positive(seed, *shape):
    return torch.exp(0.5 * noise(seed, *shape))


ROOT = 0.3 * torch.tril(noise(9, 2, 3, 3)) + torch.eye(3, dtype=torch.float64)
PAIRS = {
    "BetaBernoulli": BetaBernoulli(Beta(positive(1, 2, 3), positive(2, 2, 3))),
    "GammaPoisson": GammaPoisson(Gamma(positive(3, 2, 3), positive(4, 2, 3))),
    "DirichletCategorical": DirichletCategorical(Dirichlet(positive(5, 2, 2, 3))),
    "NormalNormal": NormalNormal(DiagNormal(noise(6, 2, 3), 0.3 * noise(7, 2, 3)), 0.3 * noise(8, 2, 3)),
    "NormalInverseGamma": NormalInverseGamma(noise(6, 2, 3), positive(1, 2, 3), positive(2, 2, 3), positive(3, 2, 3)),
    "NormalWishart": NormalWishart(noise(6, 2, 3), positive(1, 2), positive(2, 2) + 3, ROOT @ ROOT.mT),
}
pairs = pytest.mark.parametrize("name", PAIRS)


def observations(name, s=6):
    """From the predictive: whole numbers, one-hot or real, as the pair has them."""
    q = PAIRS[name].predictive()
    if name == "DirichletCategorical":
        return q.sample(keys.uniform(KEY, (s, 2, 2, 3), torch.float64))
    return q.sample(q.noise(KEY, s))


def test_bayes_rule_at_every_parameter():
    """log q(t) + log p(x given t) - log q(t given x) = log p(x), whatever t is (Chib, 1995)."""
    t = 0.1 + 0.8 * keys.uniform(KEY, (4, 2, 3), torch.float64)
    likelihoods = {
        "BetaBernoulli": lambda t, x: Bernoulli(torch.logit(t)).log_prob(x),
        "GammaPoisson": lambda t, x: Poisson(t).log_prob(x),
        "NormalNormal": lambda t, x: DiagNormal(t, PAIRS["NormalNormal"].log_scale).log_prob(x),
    }
    for name, log_likelihood in likelihoods.items():
        pair, x = PAIRS[name], observations(name)
        for each in t:
            total = log_likelihood(each, x).sum(0) + pair.q.log_prob(each) - pair.posterior(x).q.log_prob(each)
            torch.testing.assert_close(total, pair.log_evidence(x), rtol=1e-9, atol=1e-9, msg=name)


def test_bayes_rule_of_choices():
    pair, x = PAIRS["DirichletCategorical"], observations("DirichletCategorical")
    p = torch.softmax(noise(11, 2, 2, 3), -1)
    total = Categorical(p.log()).log_prob(x).sum(0) + (pair.q.log_prob(p) - pair.posterior(x).q.log_prob(p)).sum(-1)
    torch.testing.assert_close(total, pair.log_evidence(x), rtol=1e-9, atol=1e-9)


def test_bayes_rule_of_means_and_variances():
    pair, x = PAIRS["NormalInverseGamma"], observations("NormalInverseGamma")
    mean, variance = noise(12, 2, 3), positive(13, 2, 3)

    def log_density(pair):
        of_mean = DiagNormal(pair.loc, 0.5 * torch.log(variance / pair.strength)).log_prob(mean)
        return of_mean + InverseGamma(pair.concentration, pair.rate).log_prob(variance)

    likelihood = DiagNormal(mean, 0.5 * torch.log(variance)).log_prob(x).sum(0)
    total = likelihood + log_density(pair) - log_density(pair.posterior(x))
    torch.testing.assert_close(total, pair.log_evidence(x), rtol=1e-9, atol=1e-9)


def test_bayes_rule_of_means_and_covariances():
    pair, x = PAIRS["NormalWishart"], observations("NormalWishart")
    mean, precision = noise(14, 2, 3), ROOT.mT @ ROOT + torch.eye(3, dtype=torch.float64)

    def log_density(pair, i):
        scale, at = np.linalg.inv(pair.scatter[i].numpy()), precision[i].numpy()
        of_mean = stats.multivariate_normal(pair.loc[i].numpy(), np.linalg.inv(pair.strength[i].item() * at))
        return of_mean.logpdf(mean[i].numpy()) + stats.wishart(pair.df[i].item(), scale).logpdf(at)

    for i in range(2):
        normal = stats.multivariate_normal(mean[i].numpy(), np.linalg.inv(precision[i].numpy()))
        total = normal.logpdf(x[:, i].numpy()).sum() + log_density(pair, i) - log_density(pair.posterior(x), i)
        assert total == pytest.approx(pair.log_evidence(x)[i].item(), abs=1e-9)


@pairs
def test_one_by_one_is_all_at_once(name):
    """The posteriors agree, and the evidence is the sum of the predictive log densities on the way."""
    pair, x = PAIRS[name], observations(name)
    total, now = torch.zeros(2, dtype=torch.float64), pair
    for each in x:
        total = total + now.predictive().log_prob(each[None])[0]
        now = now.posterior(each[None])
    for one, whole in zip(trees.leaves(now), trees.leaves(pair.posterior(x)), strict=True):
        torch.testing.assert_close(one, whole, rtol=1e-9, atol=1e-9)
    torch.testing.assert_close(total, pair.log_evidence(x), rtol=1e-9, atol=1e-9)
    torch.testing.assert_close(pair.log_evidence(x[:0]), 0 * total)


def test_predictives_by_quadrature():
    """The parameter averaged out, of a first component: by scipy's integrals."""
    beta, poisson = PAIRS["BetaBernoulli"], PAIRS["GammaPoisson"]
    a, b = (t[0, 0].item() for t in beta.q)
    chance = integrate.quad(lambda t: t * stats.beta(a, b).pdf(t), 0, 1)[0]
    assert beta.predictive().mean()[0, 0].item() == pytest.approx(chance, rel=1e-7)
    a, b = (t[0, 0].item() for t in poisson.q)
    for count in (0, 1, 5):
        mass = integrate.quad(lambda t, c=count: stats.poisson(t).pmf(c) * stats.gamma(a, scale=1 / b).pdf(t), 0, 60)[0]
        at = torch.full((1, 2, 1), float(count), dtype=torch.float64)
        alone = GammaPoisson(Gamma(*(t[:, :1] for t in poisson.q))).predictive()
        assert alone.log_prob(at)[0, 0].exp().item() == pytest.approx(mass, rel=1e-6)


def test_evidence_of_normals_by_scipy():
    """A normal of correlated observations; with an unknown variance, Student's t of them together."""
    pair, x = PAIRS["NormalNormal"], observations("NormalNormal")
    ones, eye = np.ones((6, 6)), np.eye(6)
    exact = sum(
        stats.multivariate_normal(
            np.full(6, pair.q.loc[0, j]),
            np.exp(2 * pair.q.log_scale[0, j].item()) * ones + np.exp(2 * pair.log_scale[0, j].item()) * eye,
        ).logpdf(x[:, 0, j].numpy())
        for j in range(3)
    )
    assert pair.log_evidence(x)[0].item() == pytest.approx(exact, abs=1e-9)
    pair, x = PAIRS["NormalInverseGamma"], observations("NormalInverseGamma")
    loc, count, a, b = (t[0].numpy() for t in pair)
    exact = sum(
        stats.multivariate_t(np.full(6, loc[j]), b[j] / a[j] * (eye + ones / count[j]), 2 * a[j]).logpdf(x[:, 0, j])
        for j in range(3)
    )
    assert pair.log_evidence(x)[0].item() == pytest.approx(exact, abs=1e-9)


def test_a_wishart_of_one_component_is_an_inverse_gamma():
    own = NormalInverseGamma(*(t[:, :1] for t in PAIRS["NormalInverseGamma"]))
    wishart = NormalWishart(own.loc, own.strength[:, 0], 2 * own.concentration[:, 0], 2 * own.rate[..., None])
    x = observations("NormalInverseGamma")[..., :1]
    torch.testing.assert_close(wishart.log_evidence(x), own.log_evidence(x))
    torch.testing.assert_close(wishart.predictive().log_prob(x), own.predictive().log_prob(x))


def test_precisions_of_the_posterior_by_their_moments():
    """E P = df scatter^-1; the inverse's mean scatter / (df - d - 1) is what covariances are on average."""
    pair = PAIRS["NormalWishart"].posterior(observations("NormalWishart", 40))
    q = pair.precision()
    torch.testing.assert_close(q.mean(), pair.df[:, None, None] * torch.linalg.inv(pair.scatter))
    covariances = torch.linalg.inv(q.sample(q.noise(KEY, 4000)))
    laws.mean_is(covariances, pair.scatter / (pair.df - 4)[:, None, None])


def test_large_offsets_keep_their_digits_in_single_precision():
    """Data at 1,000 ± 1: the posterior's scale and rate by float64, to 1e-4."""
    x = 1000 + noise(15, 50, 2, 3)
    far = NormalInverseGamma(1000 + 0 * x[0], 0 * x[0] + 1, 0 * x[0] + 2, 0 * x[0] + 1.5)
    single = NormalInverseGamma(*(t.float() for t in far)).posterior(x.float())
    torch.testing.assert_close(single.rate.double(), far.posterior(x.float().double()).rate, rtol=1e-4, atol=0)
    wishart = NormalWishart(far.loc, far.strength[:, 0], far.strength[:, 0] + 4, torch.eye(3).double().expand(2, 3, 3))
    narrow = NormalWishart(*(t.float() for t in wishart)).posterior(x.float())
    exact = wishart.posterior(x.float().double()).scatter
    torch.testing.assert_close(narrow.scatter.double(), exact, rtol=1e-4, atol=1e-2)


def test_observations_come_first():
    with pytest.raises(ValueError, match=r"expected x of one axis more than the parameter \(2, 3\), got \(2, 3\)"):
        PAIRS["BetaBernoulli"].posterior(torch.zeros(2, 3, dtype=torch.float64))


def test_messages_are_natural_parameters():
    """Two messages add up to that of all observations, as trees."""
    pair, x = PAIRS["GammaPoisson"], observations("GammaPoisson")
    both = trees.map(torch.add, pair.message(x[:2]), pair.message(x[2:]))
    for name, whole in pair.message(x).items():
        torch.testing.assert_close(both[name], whole)
    family = exponential.GammaFamily()
    again = family.from_natural(trees.map(torch.add, family.natural(pair.q), both))
    for one, other in zip(again, pair.posterior(x).q, strict=True):
        torch.testing.assert_close(one, other)

"""Exponential families and conjugate pairs."""

import torch

from jensen.core import exponential, keys
from jensen.core.distributions import Bernoulli, Beta, DiagNormal, Dirichlet, Gamma
from jensen.core.exponential.table import FAMILIES
from jensen.laws import families

KEY = keys.key(0)
ONES, ZEROS = torch.ones(5, 3), torch.zeros(5, 3)
NORMAL = DiagNormal(ZEROS, ZEROS)


def families_of_members():
    for q in (NORMAL, Bernoulli(ZEROS), Gamma(ONES, ONES), *families.FAMILIES.values()):
        if type(q) in FAMILIES:
            _family(q)


def conjugate_pairs():
    for pair in (
        exponential.BetaBernoulli(Beta(ONES, ONES)),
        exponential.GammaPoisson(Gamma(ONES, ONES)),
        exponential.NormalNormal(NORMAL, ZEROS),
        exponential.NormalInverseGamma(*torch.ones(4, 5, 3)),
        exponential.NormalWishart(ZEROS, torch.ones(5), torch.full((5,), 4.0), torch.eye(3).expand(5, 3, 3)),
    ):
        seen = pair.predictive().sample(pair.predictive().noise(KEY, 4))
        assert pair.posterior(seen).log_evidence(seen).shape == (5,)
    seen = torch.nn.functional.one_hot(torch.zeros(4, 5, 2, dtype=torch.int64), 3).float()
    exponential.DirichletCategorical(Dirichlet(torch.ones(5, 2, 3))).posterior(seen).log_evidence(seen)


def information():
    exponential.cramer_rao(exponential.fisher_information(NORMAL), torch.ones(5, 1, 6))
    exponential.observed_information(lambda q: q.log_prob(ZEROS).sum(), NORMAL)


def _family(q):
    family = exponential.family(q)
    eta, z = family.natural(q), q.sample(q.noise(KEY, 50))
    family.from_natural(eta), family.from_mean(exponential.mean_parameters(family, eta))
    exponential.log_prob(family, eta, z), exponential.covariance(family, eta), exponential.bregman(family, eta, eta)
    exponential.natural_gradient(family, eta, eta), exponential.maximum_likelihood(family, z)
    exponential.Conjugate.around(family, q, torch.ones(len(z[0])).to(z)).posterior(z).log_density(eta)
    exponential.score_information(q, KEY, 3)

"""The harmonic mean: wrong with confidence under the prior, right under a density of lighter tails."""

import math

import torch

from jensen.core import keys
from jensen.core.distributions import DiagNormal
from jensen.estimators.evidence import annealed_importance, harmonic, linear
from tests.estimators import normalisers as gates
from tests.estimators.normalisers import F64, KEY

ORACLE, PRIOR = gates.linear_gaussian()
TRUTH = ORACLE.log_evidence()


def test_the_harmonic_mean_is_confidently_wrong():
    """Too high, by many times its spread, where annealing with a hundredth of the draws is right; and it says so."""
    sharp = ORACLE._replace(log_sigma=torch.tensor(-2.0, dtype=F64))
    z = gates.posterior_draws(sharp, KEY, 2000)
    claim = harmonic(sharp.log_joint, PRIOR, z)
    excess = (claim.log_p - sharp.log_evidence()) / claim.spread
    assert (claim.standard_error == torch.inf).all()
    assert "is not known: the variance is infinite unless q has lighter tails" in claim.verdict()
    assert (claim.log_p > sharp.log_evidence() + 1).all()
    assert excess.median() > 4
    gates.near(annealed_importance(sharp.log_joint, PRIOR, KEY, 200, linear(40), chunk=200), sharp.log_evidence())


def test_the_harmonic_mean_hardly_feels_the_prior():
    """A prior a hundred times wider costs log 100 nats per dimension; the harmonic mean does not notice."""
    likelihood = DiagNormal(torch.zeros(1, 1, dtype=F64), torch.full((1, 1), -2.0, dtype=F64))
    claims, truths = [], []
    for scale in (1.0, 100.0):
        prior = gates.normal(1, 1, scale)
        variance = 1 / (math.exp(4) + scale**-2)
        z = math.sqrt(variance) * keys.normal(KEY, (5000, 1, 1), F64)
        claims.append(harmonic(lambda z, p=prior: likelihood.log_prob(z) + p.log_prob(z), prior, z).log_p)
        truths.append(-0.5 * math.log(2 * math.pi * (math.exp(-4) + scale**2)))
    assert truths[0] - truths[1] > 4.5
    assert (claims[0] - claims[1]).abs() < 0.1


def test_with_light_tails_it_is_gelfand_and_deys():
    q = gates.encoder(ORACLE)
    light = DiagNormal(q.loc, q.log_scale - 0.7)
    claim = harmonic(ORACLE.log_joint, light, gates.posterior_draws(ORACLE, KEY, 4000))
    assert ((claim.log_p - TRUTH).abs() < 4 * claim.spread).all()
    assert (claim.spread < 0.1).all()

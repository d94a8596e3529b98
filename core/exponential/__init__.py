"""Exponential families: natural and mean parameters, conjugate priors, maximum likelihood and Fisher information."""

from jensen.core.exponential.choices import CategoricalFamily, MultinomialFamily
from jensen.core.exponential.conjugate import Conjugate
from jensen.core.exponential.counts import (
    BernoulliFamily,
    BinomialFamily,
    GeometricFamily,
    NegativeBinomialFamily,
    PoissonFamily,
)
from jensen.core.exponential.directions import VonMisesFisherFamily
from jensen.core.exponential.family import (
    ExponentialFamily,
    Natural,
    bregman,
    covariance,
    inner,
    log_prob,
    mean_parameters,
    natural_gradient,
)
from jensen.core.exponential.fisher import cramer_rao, fisher_information, observed_information, score_information
from jensen.core.exponential.gammas import (
    ChiSquaredFamily,
    ExponentialDistributionFamily,
    GammaFamily,
    InverseGammaFamily,
)
from jensen.core.exponential.known import LaplaceFamily, ParetoFamily
from jensen.core.exponential.likelihood import maximum_likelihood
from jensen.core.exponential.normals import DiagNormalFamily, FullNormalFamily, LogNormalFamily
from jensen.core.exponential.pairs import BetaBernoulli, DirichletCategorical, GammaPoisson
from jensen.core.exponential.pairs_of_normals import NormalInverseGamma, NormalNormal, NormalWishart
from jensen.core.exponential.shares import BetaFamily, ContinuousBernoulliFamily, DirichletFamily
from jensen.core.exponential.table import family
from jensen.core.exponential.truncated import TruncatedNormalFamily
from jensen.core.exponential.wisharts import WishartFamily

__all__ = [
    "BernoulliFamily",
    "BetaBernoulli",
    "BetaFamily",
    "BinomialFamily",
    "CategoricalFamily",
    "ChiSquaredFamily",
    "Conjugate",
    "ContinuousBernoulliFamily",
    "DiagNormalFamily",
    "DirichletCategorical",
    "DirichletFamily",
    "ExponentialDistributionFamily",
    "ExponentialFamily",
    "FullNormalFamily",
    "GammaFamily",
    "GammaPoisson",
    "GeometricFamily",
    "InverseGammaFamily",
    "LaplaceFamily",
    "LogNormalFamily",
    "MultinomialFamily",
    "Natural",
    "NegativeBinomialFamily",
    "NormalInverseGamma",
    "NormalNormal",
    "NormalWishart",
    "ParetoFamily",
    "PoissonFamily",
    "TruncatedNormalFamily",
    "VonMisesFisherFamily",
    "WishartFamily",
    "bregman",
    "covariance",
    "cramer_rao",
    "family",
    "fisher_information",
    "inner",
    "log_prob",
    "maximum_likelihood",
    "mean_parameters",
    "natural_gradient",
    "observed_information",
    "score_information",
]

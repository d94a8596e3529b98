"""Conjugate-exponential models: factors, and one function of their mean parameters; `cavi` and `svi` fit them."""

from jensen.core.models.conjugate.allocation import Allocation
from jensen.core.models.conjugate.contract import ConjugateModel, Factors
from jensen.core.models.conjugate.factors import FactorAnalysis, factor_analysis
from jensen.core.models.conjugate.markov import HiddenMarkov, log_chain
from jensen.core.models.conjugate.mixture import Mixture
from jensen.core.models.conjugate.normal_wishart import NormalWishartFamily
from jensen.core.models.conjugate.observations import Choices, Normals, normals
from jensen.core.models.conjugate.regression import Regression, regression
from jensen.core.models.conjugate.weights import Shares, Sticks

__all__ = [
    "Allocation",
    "Choices",
    "ConjugateModel",
    "FactorAnalysis",
    "Factors",
    "HiddenMarkov",
    "Mixture",
    "NormalWishartFamily",
    "Normals",
    "Regression",
    "Shares",
    "Sticks",
    "factor_analysis",
    "log_chain",
    "normals",
    "regression",
]

"""Curvatures of a network's likelihood in its parameters, by the generalised Gauss-Newton matrix."""

from jensen.estimators.inference.curvature.gauss_newton import Diagonal, Full
from jensen.estimators.inference.curvature.kfac import Kronecker
from jensen.estimators.inference.curvature.likelihoods import Bernoulli, Categorical, Gaussian, Likelihood, Predicted
from jensen.estimators.inference.curvature.linearised import Linearised

__all__ = [
    "Bernoulli",
    "Categorical",
    "Diagonal",
    "Full",
    "Gaussian",
    "Kronecker",
    "Likelihood",
    "Linearised",
    "Predicted",
]

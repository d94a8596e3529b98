"""Likelihoods as values: p(x | z) of a decoder's outputs. One file each, and one row in `LIKELIHOODS`."""

from jensen.core.models.latent.likelihoods.autoregressive import AUTOREGRESSIVE, AutoregressiveBernoulli
from jensen.core.models.latent.likelihoods.bernoulli import BERNOULLI, SOFT_BERNOULLI
from jensen.core.models.latent.likelihoods.continuous_bernoulli import CONTINUOUS_BERNOULLI
from jensen.core.models.latent.likelihoods.discretised_logistic import (
    DISCRETISED_LOGISTIC,
    DiscretisedLogisticLikelihood,
)
from jensen.core.models.latent.likelihoods.gaussian import GAUSSIAN
from jensen.core.models.latent.likelihoods.likelihood import Likelihood
from jensen.core.models.latent.likelihoods.multinomial import MULTINOMIAL
from jensen.core.models.latent.likelihoods.outputs import Linear, Outputs, materialised
from jensen.core.models.latent.likelihoods.squared_error import SQUARED_ERROR, SquaredErrorLikelihood
from jensen.core.models.latent.likelihoods.table import LIKELIHOODS

__all__ = [
    "AUTOREGRESSIVE",
    "BERNOULLI",
    "CONTINUOUS_BERNOULLI",
    "DISCRETISED_LOGISTIC",
    "GAUSSIAN",
    "LIKELIHOODS",
    "MULTINOMIAL",
    "SOFT_BERNOULLI",
    "SQUARED_ERROR",
    "AutoregressiveBernoulli",
    "DiscretisedLogisticLikelihood",
    "Likelihood",
    "Linear",
    "Outputs",
    "SquaredErrorLikelihood",
    "materialised",
]

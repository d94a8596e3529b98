"""Likelihoods by name, for command lines and laws."""

from jensen.core.models.latent.likelihoods.autoregressive import AUTOREGRESSIVE
from jensen.core.models.latent.likelihoods.bernoulli import BERNOULLI, SOFT_BERNOULLI
from jensen.core.models.latent.likelihoods.continuous_bernoulli import CONTINUOUS_BERNOULLI
from jensen.core.models.latent.likelihoods.discretised_logistic import DISCRETISED_LOGISTIC
from jensen.core.models.latent.likelihoods.gaussian import GAUSSIAN
from jensen.core.models.latent.likelihoods.likelihood import Likelihood
from jensen.core.models.latent.likelihoods.multinomial import MULTINOMIAL
from jensen.core.models.latent.likelihoods.squared_error import SQUARED_ERROR

LIKELIHOODS: dict[str, Likelihood] = {
    "bernoulli": BERNOULLI,
    "soft-bernoulli": SOFT_BERNOULLI,
    "continuous-bernoulli": CONTINUOUS_BERNOULLI,
    "gaussian": GAUSSIAN,
    "squared-error": SQUARED_ERROR,
    "discretised-logistic": DISCRETISED_LOGISTIC,
    "multinomial": MULTINOMIAL,
    "autoregressive": AUTOREGRESSIVE,
}

"""Priors of a VAE as values: p(z), fixed or learned. One row each in `PRIORS`."""

from jensen.core.models.latent.priors.mixtures import MixtureOfNormals, MixtureOfPosteriors
from jensen.core.models.latent.priors.prior import Prior
from jensen.core.models.latent.priors.standard import NORMAL
from jensen.core.models.latent.priors.table import NAMES, PRIORS, parse

__all__ = ["NAMES", "NORMAL", "PRIORS", "MixtureOfNormals", "MixtureOfPosteriors", "Prior", "parse"]

"""Posterior families as values: q(z | x) of an encoder's outputs. One row each in `POSTERIORS`."""

from jensen.core.models.latent.posteriors.flows import (
    InverseAutoregressive,
    PlanarFlows,
    RealNvp,
    Splines,
    SylvesterFlows,
)
from jensen.core.models.latent.posteriors.mixtures import MixtureOfNormals
from jensen.core.models.latent.posteriors.normals import DIAG, FULL, LowRank
from jensen.core.models.latent.posteriors.posterior import Posterior, check_posterior
from jensen.core.models.latent.posteriors.table import NAMES, POSTERIORS, parse

__all__ = [
    "DIAG",
    "FULL",
    "NAMES",
    "POSTERIORS",
    "InverseAutoregressive",
    "LowRank",
    "MixtureOfNormals",
    "PlanarFlows",
    "Posterior",
    "RealNvp",
    "Splines",
    "SylvesterFlows",
    "check_posterior",
    "parse",
]

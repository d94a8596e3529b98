"""Latent-variable models as values that meet `contracts.LatentModel`: p(x, z), and q(z | x) beside it."""

from jensen.core.models.latent import (
    bottleneck,
    gp,
    hvae,
    ladder,
    likelihoods,
    linear_normal,
    longitudinal,
    ode,
    poisson,
    posteriors,
    priors,
    reptile,
    sbn,
    semi,
    series,
    vae,
)

__all__ = [
    "bottleneck",
    "gp",
    "hvae",
    "ladder",
    "likelihoods",
    "linear_normal",
    "longitudinal",
    "ode",
    "poisson",
    "posteriors",
    "priors",
    "reptile",
    "sbn",
    "semi",
    "series",
    "vae",
]

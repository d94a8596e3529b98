"""Latent-variable models as values that meet `contracts.LatentModel`: p(x, z), and q(z | x) beside it."""

from jensen.core.models.latent import hvae, likelihoods, ode, poisson, posteriors, priors, sbn, series, vae

__all__ = ["hvae", "likelihoods", "ode", "poisson", "posteriors", "priors", "sbn", "series", "vae"]

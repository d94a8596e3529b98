"""Latent-variable models as values that meet `contracts.LatentModel`: p(x, z), and q(z | x) beside it."""

from jensen.core.models.latent import hvae, likelihoods, poisson, posteriors, sbn, vae

__all__ = ["hvae", "likelihoods", "poisson", "posteriors", "sbn", "vae"]

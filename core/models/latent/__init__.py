"""Latent-variable models as values that meet `contracts.LatentModel`: p(x, z), and q(z | x) beside it."""

from jensen.core.models.latent import likelihoods, sbn, vae

__all__ = ["likelihoods", "sbn", "vae"]

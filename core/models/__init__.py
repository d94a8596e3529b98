"""Latent-variable models as values: `init`, and the densities they define."""

from jensen.core.models import sbn, vae

Model = sbn.SBN | vae.VAE

__all__ = ["Model", "sbn", "vae"]

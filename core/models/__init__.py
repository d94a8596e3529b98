"""Latent-variable models as values: `init`, and the densities they define."""

from jensen.core.models import sbn, vae

__all__ = ["sbn", "vae"]

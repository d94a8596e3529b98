"""Latent-variable models as values: `init`, and the densities they define."""

from jensen.core.models import vae

__all__ = ["vae"]

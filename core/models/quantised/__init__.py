"""Models whose latents are rows of a codebook."""

from jensen.core.models.quantised import codebook

__all__ = ["codebook"]

"""Semi-supervised models (Kingma et al., 2014): M1, M2, and M2 of M1's features."""

from jensen.core.models.latent.semi import m2
from jensen.core.models.latent.semi.m1 import M1
from jensen.core.models.latent.semi.m2 import M2
from jensen.core.models.latent.semi.stacked import Stacked

__all__ = ["M1", "M2", "Stacked", "m2"]

"""Quantisers as values: vectors in, codes out, and back; and models whose latents are codes, around any of them.

One file each, and a quantiser is one row in the laws' table of instances.
"""

from jensen.core.models.quantised import autoencoder, codebook, kmeans, paths, two_maps, usage, vqgan
from jensen.core.models.quantised.autoencoder import Autoencoder
from jensen.core.models.quantised.codebook import Codebook
from jensen.core.models.quantised.coded import CodedModel, CodeMap, Step
from jensen.core.models.quantised.fsq import Fsq
from jensen.core.models.quantised.gradient_vq import GradientVq
from jensen.core.models.quantised.gumbel import GumbelVq
from jensen.core.models.quantised.lfq import Lfq
from jensen.core.models.quantised.projected import Projected
from jensen.core.models.quantised.quantiser import Quantised, Quantiser
from jensen.core.models.quantised.residual import ResidualVq
from jensen.core.models.quantised.soft import SoftVq
from jensen.core.models.quantised.table import NAMES, parse
from jensen.core.models.quantised.two_maps import TwoMaps
from jensen.core.models.quantised.vq import Vq
from jensen.core.models.quantised.vqgan import VqGan

__all__ = [
    "NAMES",
    "Autoencoder",
    "CodeMap",
    "Codebook",
    "CodedModel",
    "Fsq",
    "GradientVq",
    "GumbelVq",
    "Lfq",
    "Projected",
    "Quantised",
    "Quantiser",
    "ResidualVq",
    "SoftVq",
    "Step",
    "TwoMaps",
    "Vq",
    "VqGan",
    "autoencoder",
    "codebook",
    "kmeans",
    "parse",
    "paths",
    "two_maps",
    "usage",
    "vqgan",
]

"""Quantisers as values: vectors in, codes out, and back. One file each, and one row in the laws' table of instances."""

from jensen.core.models.quantised import codebook, kmeans, paths, usage
from jensen.core.models.quantised.codebook import Codebook
from jensen.core.models.quantised.fsq import Fsq
from jensen.core.models.quantised.gradient_vq import GradientVq
from jensen.core.models.quantised.gumbel import GumbelVq
from jensen.core.models.quantised.lfq import Lfq
from jensen.core.models.quantised.projected import Projected
from jensen.core.models.quantised.quantiser import Quantised, Quantiser
from jensen.core.models.quantised.residual import ResidualVq
from jensen.core.models.quantised.soft import SoftVq
from jensen.core.models.quantised.table import NAMES, parse
from jensen.core.models.quantised.vq import Vq

__all__ = [
    "NAMES",
    "Codebook",
    "Fsq",
    "GradientVq",
    "GumbelVq",
    "Lfq",
    "Projected",
    "Quantised",
    "Quantiser",
    "ResidualVq",
    "SoftVq",
    "Vq",
    "codebook",
    "kmeans",
    "parse",
    "paths",
    "usage",
]

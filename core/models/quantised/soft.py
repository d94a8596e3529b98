"""Soft vector quantisation: the mean over codes in place of the nearest (Agustsson et al., 2017)."""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from jensen.core.checks import check_count, check_key
from jensen.core.contracts import Key
from jensen.core.models.quantised import codebook
from jensen.core.models.quantised._distances import closeness, nearest
from jensen.core.models.quantised.codebook import Start
from jensen.core.models.quantised.of_vectors import OfVectors, vectors_of
from jensen.core.models.quantised.quantiser import Quantised, certain, check_temperature
from jensen.core.trees import Params, Tree


@dataclass(frozen=True)
class SoftVq(OfVectors):
    """Each vector becomes sum_c p_c vector_c, with p = softmax_c(-|z - vector_c|^2 / temperature).

    `quantise` gives that mean, and `decode` the nearest vector, its limit as the temperature tends to 0; it is annealed
    by `dataclasses.replace(quantiser, temperature=t)`, t a number or a 0-d tensor.

    Codes     (n, *positions), the nearest
    Params    {"vectors": (size, d)}
    State     {}
    Terms     none
    Gradient  exact, in z and in the vectors
    """

    size: int
    temperature: float | Tensor = 1.0
    start: Start = "k-means"

    def __post_init__(self) -> None:
        check_count("size", self.size)
        check_temperature(self.temperature)
        codebook.check_start(self.start)

    def quantise(self, params: Params, state: Tree, z: Float[Tensor, "n *positions d"], key: Key, /) -> Quantised:
        """The means; nothing is drawn."""
        check_key(key)
        vectors = vectors_of(params)
        codes, distances = nearest(z, vectors)
        p = torch.softmax(closeness(z, vectors) / self.temperature, -1)
        return Quantised((p @ vectors).to(z.dtype), codes, certain(codes, self.size, distances), {}, state)

"""Vector quantisation with codes that are drawn (Jang et al., 2017; Baevski et al., 2020; Takida et al., 2022)."""

import math
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from jensen.core.checks import check_count, check_key
from jensen.core.contracts import Key
from jensen.core.distributions import Categorical
from jensen.core.models.quantised import codebook
from jensen.core.models.quantised._distances import closeness
from jensen.core.models.quantised.codebook import Start
from jensen.core.models.quantised.of_vectors import OfVectors, vectors_of
from jensen.core.models.quantised.paths import straight_through
from jensen.core.models.quantised.quantiser import Quantised, check_temperature
from jensen.core.trees import Params, Tree


@dataclass(frozen=True)
class GumbelVq(OfVectors):
    """A code is drawn from p(code | z) = softmax_c(-|z - vector_c|^2), and has the gradient of its relaxation.

    The temperature is that of the relaxation alone, Gumbel-softmax; it is annealed by
    `dataclasses.replace(quantiser, temperature=t)`, t a number or a 0-d tensor.

    Codes     (n, *positions): drawn by `quantise`, the most probable, which is the nearest, by `encode`
    Params    {"vectors": (size, d)}
    State     {}
    Terms     none; `kl` is that of p to uniform codes, and has a gradient
    Gradient  of the relaxed code, straight through to the drawn one, in z and in the vectors
    """

    size: int
    temperature: float | Tensor = 1.0
    start: Start = "k-means"

    def __post_init__(self) -> None:
        check_count("size", self.size)
        check_temperature(self.temperature)
        codebook.check_start(self.start)

    def quantise(self, params: Params, state: Tree, z: Float[Tensor, "n *positions d"], key: Key, /) -> Quantised:
        """Codes drawn by the key, a datum's by its place among the key's data."""
        check_key(key)
        vectors = vectors_of(params)
        logits = closeness(z, vectors)
        q = Categorical(logits.reshape(len(z), math.prod(z.shape[1:-1]), self.size))
        t = q.perturbed(q.noise(key, 1))
        places = t.argmax(-1, keepdim=True)
        drawn = (places == torch.arange(self.size, device=z.device)).to(t.dtype)
        choice = straight_through(q.relaxed(t, self.temperature), drawn)
        quantised = (choice @ vectors).reshape(z.shape)
        kl = q.kl(Categorical(torch.zeros_like(q.logits)))
        return Quantised(quantised.to(z.dtype), places.reshape(z.shape[:-1]), kl, {}, state)

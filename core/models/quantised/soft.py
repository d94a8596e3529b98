"""Soft vector quantisation: the mean over codes in place of the nearest (Agustsson et al., 2017)."""

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from jensen.core.checks import check_count, check_key
from jensen.core.contracts import Key
from jensen.core.models.quantised import codebook
from jensen.core.models.quantised._distances import closeness, nearest
from jensen.core.models.quantised.codebook import Start
from jensen.core.models.quantised.quantiser import Quantised, certain, check_codes, check_temperature
from jensen.core.trees import Params, Tree, check_keys


@dataclass(frozen=True)
class SoftVq:
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

    def init(self, key: Key, z: Float[Tensor, "n *positions d"], /) -> tuple[Params, Tree]:
        """Vectors at z. ValueError where k-means has fewer distinct vectors than codes."""
        return {"vectors": codebook.starting_vectors(key, z, self.size, self.start)}, {}

    def quantise(self, params: Params, state: Tree, z: Float[Tensor, "n *positions d"], key: Key, /) -> Quantised:
        """The means; nothing is drawn."""
        check_key(key)
        codes = self.encode(params, state, z)
        p = torch.softmax(closeness(z, params["vectors"]) / self.temperature, -1)
        return Quantised((p @ params["vectors"]).to(z.dtype), codes, certain(codes, self.size, p), {}, state)

    def encode(self, params: Params, state: Tree, z: Float[Tensor, "n *positions d"], /) -> Int[Tensor, "..."]:
        """The nearest codes, of equally near ones the first."""
        check_keys(params, ("vectors",))
        return nearest(z, params["vectors"])[0]

    def decode(self, params: Params, state: Tree, codes: Int[Tensor, "..."], /) -> Float[Tensor, "..."]:
        """The vectors of codes (n, *positions). ValueError for codes out of range."""
        check_keys(params, ("vectors",))
        check_codes(codes, self.size)
        return params["vectors"][codes]

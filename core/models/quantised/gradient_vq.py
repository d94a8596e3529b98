"""Vector quantisation with vectors that follow a gradient (van den Oord et al., 2017, equation 3)."""

from dataclasses import dataclass

from jaxtyping import Float
from torch import Tensor

from jensen.core.checks import check_count, check_key, check_number
from jensen.core.contracts import Key
from jensen.core.models.quantised import codebook
from jensen.core.models.quantised._distances import nearest
from jensen.core.models.quantised.codebook import Start
from jensen.core.models.quantised.of_vectors import OfVectors, vectors_of
from jensen.core.models.quantised.paths import Path, along, check_path
from jensen.core.models.quantised.quantiser import Quantised, certain, per_datum
from jensen.core.trees import Params, Tree


@dataclass(frozen=True)
class GradientVq(OfVectors):
    """Each vector becomes the nearest of `size` codes, by Euclidean distance; `Vq` without a state.

    Codes     (n, *positions)
    Params    {"vectors": (size, d)}
    State     {}
    Terms     "codebook", |z - vector|^2, differentiable in the vectors alone; "commitment", its weight times the same,
              differentiable in z alone
    Gradient  straight through to z, or by the rotation from z to its vector
    """

    size: int
    commitment: float = 0.25
    path: Path = "straight-through"
    start: Start = "k-means"

    def __post_init__(self) -> None:
        check_count("size", self.size)
        check_number("commitment", self.commitment, "[0, inf)")
        check_path("path", self.path)
        codebook.check_start(self.start)

    def quantise(self, params: Params, state: Tree, z: Float[Tensor, "n *positions d"], key: Key, /) -> Quantised:
        """The nearest vectors; nothing is drawn."""
        check_key(key)
        vectors = vectors_of(params)
        codes, of_z = nearest(z, vectors.detach())
        own = vectors[codes]
        of_vectors = (z.detach() - own).square().sum(-1)
        terms = {"codebook": per_datum(of_vectors), "commitment": self.commitment * per_datum(of_z)}
        quantised = along(self.path, z, own.detach().to(z.dtype))
        return Quantised(quantised, codes, certain(codes, self.size, of_z), terms, state)

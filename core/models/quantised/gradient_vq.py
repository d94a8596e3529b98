"""Vector quantisation with vectors that follow a gradient (van den Oord et al., 2017, equation 3)."""

from dataclasses import dataclass

from jaxtyping import Float, Int
from torch import Tensor

from jensen.core.checks import check_count, check_key, check_number
from jensen.core.contracts import Key
from jensen.core.models.quantised import codebook
from jensen.core.models.quantised._distances import nearest
from jensen.core.models.quantised.codebook import Start
from jensen.core.models.quantised.paths import Path, along, check_path
from jensen.core.models.quantised.quantiser import Quantised, certain, check_codes, per_datum
from jensen.core.trees import Params, Tree, check_keys


@dataclass(frozen=True)
class GradientVq:
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
    path: Path = "straight through"
    start: Start = "k-means"

    def __post_init__(self) -> None:
        check_count("size", self.size)
        check_number("commitment", self.commitment, "[0, inf)")
        check_path("path", self.path)
        codebook.check_start(self.start)

    def init(self, key: Key, z: Float[Tensor, "n *positions d"], /) -> tuple[Params, Tree]:
        """Vectors at z. ValueError where k-means has fewer distinct vectors than codes."""
        return {"vectors": codebook.starting_vectors(key, z, self.size, self.start)}, {}

    def quantise(self, params: Params, state: Tree, z: Float[Tensor, "n *positions d"], key: Key, /) -> Quantised:
        """The nearest vectors; nothing is drawn."""
        check_key(key)
        check_keys(params, ("vectors",))
        vectors = params["vectors"]
        codes, of_z = nearest(z, vectors.detach())
        own = vectors[codes]
        of_vectors = (z.detach() - own).square().sum(-1)
        terms = {"codebook": per_datum(of_vectors), "commitment": self.commitment * per_datum(of_z)}
        quantised = along(self.path, z, own.detach().to(z.dtype))
        return Quantised(quantised, codes, certain(codes, self.size, of_z), terms, state)

    def encode(self, params: Params, state: Tree, z: Float[Tensor, "n *positions d"], /) -> Int[Tensor, "..."]:
        """The nearest codes, of equally near ones the first."""
        check_keys(params, ("vectors",))
        return nearest(z, params["vectors"])[0]

    def decode(self, params: Params, state: Tree, codes: Int[Tensor, "..."], /) -> Float[Tensor, "..."]:
        """The vectors of codes (n, *positions). ValueError for codes out of range."""
        check_keys(params, ("vectors",))
        check_codes(codes, self.size)
        return params["vectors"][codes]

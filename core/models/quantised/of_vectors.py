"""What quantisers have in common whose parameters are the vectors of their codes."""

from jaxtyping import Float, Int
from torch import Tensor

from jensen.core.contracts import Key
from jensen.core.models.quantised import codebook
from jensen.core.models.quantised._distances import nearest
from jensen.core.models.quantised.codebook import Start
from jensen.core.models.quantised.quantiser import check_codes
from jensen.core.trees import Params, Tree, check_keys


class OfVectors:
    """Parameters {"vectors": (size, d)} and no state; `encode` gives the nearest code, and `decode` its vector."""

    size: int
    start: Start

    def init(self, key: Key, z: Float[Tensor, "n *positions d"], /) -> tuple[Params, Tree]:
        """Vectors at z. ValueError where k-means has fewer distinct vectors than codes."""
        return {"vectors": codebook.starting_vectors(key, z, self.size, self.start)}, {}

    def encode(self, params: Params, state: Tree, z: Float[Tensor, "n *positions d"], /) -> Int[Tensor, "..."]:
        """The nearest codes, of equally near ones the first."""
        return nearest(z, vectors_of(params))[0]

    def decode(self, params: Params, state: Tree, codes: Int[Tensor, "..."], /) -> Float[Tensor, "..."]:
        """The vectors of codes (n, *positions). ValueError for codes out of range."""
        check_codes(codes, self.size)
        return vectors_of(params)[codes]


def vectors_of(params: Params) -> Float[Tensor, "C d"]:
    """KeyError for other parameters."""
    check_keys(params, ("vectors",))
    return params["vectors"]

"""Vector quantisation with a codebook that follows its data (van den Oord et al., 2017)."""

from dataclasses import dataclass
from typing import NamedTuple

from jaxtyping import Float, Int
from torch import Tensor

from jensen.core.checks import check_count, check_key, check_number, described
from jensen.core.contracts import Key
from jensen.core.models.quantised import codebook
from jensen.core.models.quantised._distances import nearest
from jensen.core.models.quantised.codebook import Codebook, Start
from jensen.core.models.quantised.paths import Path, along, check_path
from jensen.core.models.quantised.quantiser import Quantised, certain, check_codes, per_datum
from jensen.core.trees import Params, check_keys


class Seen(NamedTuple):
    """What a codebook follows."""

    z: Float[Tensor, "n *positions d"]
    codes: Int[Tensor, "n *positions"]  # those nearest to z


@dataclass(frozen=True)
class Vq:
    """Each vector becomes the nearest of `size` codes, by Euclidean distance.

    Codes     (n, *positions)
    Params    {}
    State     a Codebook, of moving averages that forget at `decay`; codes used less than `least` times an equal share
              restart at vectors of the minibatch
    Terms     "commitment", its weight times |z - vector|^2, differentiable in z alone
    Gradient  straight through to z, or by the rotation from z to its vector
    """

    size: int
    commitment: float = 0.25
    decay: float = 0.99
    least: float = 0.03
    path: Path = "straight-through"
    start: Start = "k-means"

    def __post_init__(self) -> None:
        check_count("size", self.size)
        check_number("commitment", self.commitment, "[0, inf)")
        codebook.check_decay(self.decay)
        codebook.check_least(self.least)
        check_path("path", self.path)
        codebook.check_start(self.start)

    def init(self, key: Key, z: Float[Tensor, "n *positions d"], /) -> tuple[Params, Codebook]:
        """A codebook at z. ValueError where k-means has fewer distinct vectors than codes."""
        return {}, codebook.init(key, z, self.size, self.start)

    def quantise(self, params: Params, state: Codebook, z: Float[Tensor, "n *positions d"], key: Key, /) -> Quantised:
        """The nearest vectors before the codebook moves; the key is that of `follow`."""
        check_key(key)
        vectors = _vectors(params, state)
        codes, distances = nearest(z, vectors)
        seen = Seen(z.detach(), codes)
        terms = {"commitment": self.commitment * per_datum(distances)}
        kl = certain(codes, self.size, distances)
        moved = self.follow(state, seen, key)
        return Quantised(along(self.path, z, vectors[codes].to(z.dtype)), codes, kl, terms, moved, seen)

    def follow(self, state: Codebook, seen: Seen, key: Key, /) -> Codebook:
        """The codebook after vectors and their codes; the key draws where unused codes restart."""
        codebook.check_codebook(state, "state")
        if not isinstance(seen, Seen):
            raise TypeError(f"expected seen, a Seen, got {described(seen)}: pass what quantise gave")
        moved = codebook.update(state, seen.z, seen.codes, self.decay)
        return codebook.reset(moved, seen.z, key, self.least)

    def encode(self, params: Params, state: Codebook, z: Float[Tensor, "n *positions d"], /) -> Int[Tensor, "..."]:
        """The nearest codes, of equally near ones the first."""
        return nearest(z, _vectors(params, state))[0]

    def decode(self, params: Params, state: Codebook, codes: Int[Tensor, "..."], /) -> Float[Tensor, "..."]:
        """The vectors of codes (n, *positions). ValueError for codes out of range."""
        check_codes(codes, self.size)
        return _vectors(params, state)[codes]


def _vectors(params: Params, state: Codebook) -> Float[Tensor, "C d"]:
    check_keys(params, ())
    codebook.check_codebook(state, "state")
    return state.vectors.detach()

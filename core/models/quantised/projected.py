"""A quantiser of fewer components, between two linear maps (Yu et al., 2022): of encoders of any width."""

from dataclasses import dataclass

from jaxtyping import Float, Int
from torch import Tensor

from jensen.core import keys
from jensen.core.checks import check_count, check_dtype, check_key, check_value
from jensen.core.contracts import Key
from jensen.core.models.quantised.quantiser import Quantised, Quantiser, check_vectors, follow
from jensen.core.nn import linear
from jensen.core.trees import Params, Tree, check_keys


@dataclass(frozen=True)
class Projected:
    """`quantiser` on down(z), `width` numbers of the d, and up of what it gives.

    Codes     the quantiser's
    Params    {"down": d -> width, "up": width -> d, "quantiser": its own}
    State     the quantiser's
    Terms     the quantiser's, in units of down(z)
    Gradient  the quantiser's, through both maps
    """

    quantiser: Quantiser
    width: int

    def __post_init__(self) -> None:
        check_value("quantiser", self.quantiser, Quantiser, "Fsq((8, 5, 5))")
        check_count("width", self.width)

    @property
    def size(self) -> int:
        return self.quantiser.size

    @property
    def depth(self) -> int | None:
        """How many codes a position has, where the quantiser gives it several."""
        return getattr(self.quantiser, "depth", None)

    def init(self, key: Key, z: Float[Tensor, "n *positions d"], /) -> tuple[Params, Tree]:
        """Maps with Xavier's weights, and the quantiser's own start at down(z)."""
        check_key(key)
        check_vectors(z)
        down_key, up_key, own_key = keys.split(key, 3)
        down = linear.init(down_key, z.shape[-1], self.width, dtype=z.dtype)
        up = linear.init(up_key, self.width, z.shape[-1], dtype=z.dtype)
        own, state = self.quantiser.init(own_key, linear.apply(down, z))
        return {"down": down, "up": up, "quantiser": own}, state

    def quantise(self, params: Params, state: Tree, z: Float[Tensor, "n *positions d"], key: Key, /) -> Quantised:
        """The quantiser's step, in its components."""
        q = self.quantiser.quantise(self._own(params), state, self._down(params, z), key)
        return q._replace(z=linear.apply(params["up"], q.z))

    def follow(self, state: Tree, seen: Tree, key: Key, /) -> Tree:
        """The quantiser's state after what it saw."""
        return follow(self.quantiser, state, seen, key)

    def encode(self, params: Params, state: Tree, z: Float[Tensor, "n *positions d"], /) -> Int[Tensor, "..."]:
        """The quantiser's codes of down(z)."""
        return self.quantiser.encode(self._own(params), state, self._down(params, z))

    def decode(self, params: Params, state: Tree, codes: Int[Tensor, "..."], /) -> Float[Tensor, "..."]:
        """up of the quantiser's vectors."""
        vectors = self.quantiser.decode(self._own(params), state, codes)
        return linear.apply(params["up"], vectors.to(params["up"]["weight"].dtype))

    def _own(self, params: Params) -> Params:
        check_keys(params, ("down", "up", "quantiser"))
        return params["quantiser"]

    def _down(self, params: Params, z: Tensor) -> Tensor:
        weight = params["down"]["weight"]
        check_vectors(z, weight.shape[1], "as wide as what the maps were made for")
        check_dtype("z", z, weight, "the parameters")
        return linear.apply(params["down"], z)

"""Finite scalar quantisation (Mentzer et al., 2024): every component is rounded to one of a few levels."""

import math
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from jensen.core.checks import check_key, check_sizes
from jensen.core.contracts import Key
from jensen.core.models.quantised.paths import straight_through
from jensen.core.models.quantised.quantiser import Quantised, certain, check_codes, check_size, check_vectors
from jensen.core.numerics import at_least_float32
from jensen.core.trees import Params, Tree, check_keys


@dataclass(frozen=True)
class Fsq:
    """tanh(z) rounded to the nearest of `levels` equally spaced values from -1 to 1; z has one component per entry.

    Values are symmetric for even levels as for odd ones, while the paper's of even levels are moved by half a step so
    that 0 is one of them.

    Codes     (n, *positions): the levels' places as the digits of a number, the first component's the lowest
    Params    {}
    State     {}
    Terms     none: tanh keeps z near its values
    Gradient  that of tanh(z): the rounding passes it straight through
    """

    levels: tuple[int, ...]

    def __post_init__(self) -> None:
        object.__setattr__(self, "levels", check_sizes("levels", self.levels, 2))
        if not self.levels:
            raise ValueError("expected levels, one number for each component of z, got none: pass one or more")
        check_size("levels", self.size)

    @property
    def size(self) -> int:
        return math.prod(self.levels)

    @property
    def components(self) -> int:
        """How many z must have."""
        return len(self.levels)

    def init(self, key: Key, z: Float[Tensor, "n *positions d"], /) -> tuple[Params, Tree]:
        """Nothing is learned. ValueError for z of another width than `levels`."""
        check_key(key)
        self._check(z)
        return {}, {}

    def quantise(self, params: Params, state: Tree, z: Float[Tensor, "n *positions d"], key: Key, /) -> Quantised:
        """The nearest values; nothing is drawn."""
        check_key(key)
        check_keys(params, ())
        self._check(z)
        bounded = torch.tanh(at_least_float32(z))
        places = self._places(bounded)
        codes = self._codes(places)
        values = straight_through(bounded, self._values(places, bounded))
        return Quantised(values.to(z.dtype), codes, certain(codes, self.size, bounded), {}, state)

    def encode(self, params: Params, state: Tree, z: Float[Tensor, "n *positions d"], /) -> Int[Tensor, "..."]:
        """The codes of the nearest values."""
        check_keys(params, ())
        self._check(z)
        return self._codes(self._places(torch.tanh(at_least_float32(z))))

    def decode(self, params: Params, state: Tree, codes: Int[Tensor, "..."], /) -> Float[Tensor, "..."]:
        """The values of codes (n, *positions), in float32. ValueError for codes out of range."""
        check_keys(params, ())
        check_codes(codes, self.size)
        digits = [codes // weight % level for weight, level in zip(self._weights(), self.levels, strict=True)]
        return self._values(torch.stack(digits, -1), torch.empty(0, dtype=torch.float32, device=codes.device))

    def _places(self, bounded: Tensor) -> Int[Tensor, "..."]:
        """Which of its levels each component of tanh(z) is nearest to."""
        return torch.round((bounded + 1) * self._half(bounded)).long()

    def _values(self, places: Tensor, like: Tensor) -> Float[Tensor, "..."]:
        return places.to(like.dtype) / self._half(like) - 1

    def _codes(self, places: Tensor) -> Int[Tensor, "..."]:
        return (places * places.new_tensor(self._weights())).sum(-1)

    def _half(self, like: Tensor) -> Tensor:
        """Half the number of steps between a component's levels."""
        return (like.new_tensor(self.levels) - 1) / 2

    def _weights(self) -> list[int]:
        return [math.prod(self.levels[:i]) for i in range(len(self.levels))]

    def _check(self, z: Tensor) -> None:
        check_vectors(z, len(self.levels), "one component for each entry of levels")

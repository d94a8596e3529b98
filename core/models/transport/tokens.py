"""How a transformer reads coordinates as tokens of features, and writes coordinates from them.

    Patches   squares of an image, each by the same linear layer: neighbouring pixels are of one token
    Views     linear functions of a whole vector, each token's own, for coordinates that have no neighbours

What is written starts at 0. Parameters are {"inputs": linear, "outputs": linear}.
"""

from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import torch
from einops import rearrange
from jaxtyping import Float
from torch import Tensor

from jensen.core.contracts import Key
from jensen.core.nn import linear
from jensen.core.nn.initial import xavier
from jensen.core.trees import Params


@runtime_checkable
class Tokens(Protocol):
    """So many tokens of so many coordinates."""

    @property
    def data(self) -> int: ...
    @property
    def count(self) -> int: ...
    def init(self, key: Key, width: int, dtype: torch.dtype, /) -> Params: ...
    def read(self, params: Params, x: Tensor, /) -> Tensor: ...
    def written(self, params: Params, h: Tensor, /) -> Tensor: ...


@dataclass(frozen=True)
class Patches:
    """Of flat images (channels, height, width), row by row."""

    image: tuple[int, int, int]
    side: int  # which divides height and width

    @property
    def data(self) -> int:
        """How many coordinates."""
        channels, height, width = self.image
        return channels * height * width

    @property
    def count(self) -> int:
        """How many patches."""
        return self.data // self.coordinates

    @property
    def coordinates(self) -> int:
        """Of a patch."""
        return self.image[0] * self.side**2

    def init(self, key: Key, width: int, dtype: torch.dtype, /) -> Params:
        """Layers that all patches share."""
        return _layers(key, self.coordinates, width, width, self.coordinates, dtype)

    def read(self, params: Params, x: Float[Tensor, "... d"], /) -> Float[Tensor, "... t w"]:
        """Features of each patch."""
        return linear.apply(params["inputs"], self.cut(x))

    def written(self, params: Params, h: Float[Tensor, "... t w"], /) -> Float[Tensor, "... d"]:
        """Coordinates of the patches in their places."""
        return self.joined(linear.apply(params["outputs"], h))

    def cut(self, x: Float[Tensor, "... d"]) -> Float[Tensor, "... t c"]:
        """An image's patches."""
        return rearrange(x, "... (c r p k q) -> ... (r k) (c p q)", **self._sizes)

    def joined(self, patches: Float[Tensor, "... t c"]) -> Float[Tensor, "... d"]:
        """The image of these patches."""
        return rearrange(patches, "... (r k) (c p q) -> ... (c r p k q)", **self._sizes)

    @property
    def _sizes(self) -> dict[str, int]:
        channels, height, width = self.image
        return {"c": channels, "r": height // self.side, "k": width // self.side, "p": self.side, "q": self.side}


@dataclass(frozen=True)
class Views:
    """Of vectors, as latents are."""

    data: int
    count: int

    def init(self, key: Key, width: int, dtype: torch.dtype, /) -> Params:
        """Layers from all coordinates to all tokens, and back."""
        return _layers(key, self.data, self.count * width, self.count * width, self.data, dtype)

    def read(self, params: Params, x: Float[Tensor, "... d"], /) -> Float[Tensor, "... t w"]:
        """Features of each view."""
        return linear.apply(params["inputs"], x).unflatten(-1, (self.count, -1))

    def written(self, params: Params, h: Float[Tensor, "... t w"], /) -> Float[Tensor, "... d"]:
        """Coordinates, each a linear function of all tokens."""
        return linear.apply(params["outputs"], h.flatten(-2))


def _layers(key: Key, read: int, features: int, last: int, written: int, dtype: torch.dtype) -> Params:
    """read -> features, and last -> written of zeros."""
    zeros = torch.zeros(written, last, dtype=dtype, device=key.device)
    return {
        "inputs": linear.init(key, read, features, xavier, dtype), "outputs": {"weight": zeros, "bias": zeros[:, 0]}
    }  # fmt: skip

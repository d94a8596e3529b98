"""The diffusion transformer, DiT (Peebles and Xie, 2023): a field that reads its coordinates as tokens.

    h = linear(patches of x) + positions,    c = perceptron(waves of t)
    h = h + gate * attention((1 + scale) * norm(h) + shift)            in every block
    h = h + gate * perceptron((1 + scale) * norm(h) + shift)
    field = linear((1 + scale) * norm(h) + shift)

Every shift, scale and gate is a linear function of silu(c) that starts at 0 (adaLN-zero), as the last layer does: at
the start a block passes h on, and the field is 0. Patches are squares of an image, or runs of a vector's coordinates.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from einops import rearrange
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

from jensen.core import keys
from jensen.core.checks import check_count, check_floating, check_key, check_sizes
from jensen.core.contracts import Key
from jensen.core.models.transport.fields import FREQUENCIES, waves
from jensen.core.nn import attention, linear, mlp
from jensen.core.nn.initial import Normal, he, xavier
from jensen.core.trees import Params, check_keys


@dataclass(frozen=True)
class Dit:
    """A transformer of patches of x, each of whose blocks is told t; its last layer starts at 0."""

    image: tuple[int, int, int]  # channels, height, width
    patch: tuple[int, int]  # height, width
    width: int
    layers: int
    heads: int

    @property
    def data(self) -> int:
        """How many coordinates."""
        channels, height, width = self.image
        return channels * height * width

    @property
    def tokens(self) -> int:
        """How many patches."""
        return self.data // self.coordinates

    @property
    def coordinates(self) -> int:
        """Of a patch."""
        return self.image[0] * self.patch[0] * self.patch[1]

    def init(self, key: Key, dtype: torch.dtype = torch.float32, /) -> Params:
        """{"tokens", "positions", "time", "blocks", "last"}."""
        check_key(key)
        token_key, place_key, time_key, block_key = keys.split(key, 4)
        return {
            "tokens": linear.init(token_key, self.coordinates, self.width, xavier, dtype),
            "positions": Normal(0.02)(place_key, (self.tokens, self.width), dtype),
            "time": mlp.init(time_key, (2 * FREQUENCIES, self.width, self.width), he, dtype),
            "blocks": {str(i): self._block(keys.fold_in(block_key, i), dtype) for i in range(self.layers)},
            "last": {
                "modulation": self._zeros(2 * self.width, dtype, key.device),
                "output": self._zeros(self.coordinates, dtype, key.device),
            },
        }

    def __call__(self, params: Params, x: Float[Tensor, "... d"], t: Float[Tensor, "..."], /) -> Float[Tensor, "... d"]:
        """The field at x and times t in [0, 1], one for each point."""
        check_keys(params, ("tokens", "positions", "time", "blocks", "last"))
        check_floating("x", x, f"... {self.data}", "the last axis holds the coordinates")
        check_floating("t", t)
        c = F.silu(mlp.apply(params["time"], waves(t.expand(x.shape[:-1])), F.silu))
        h = linear.apply(params["tokens"], self._patches(x)) + params["positions"]
        for i in range(self.layers):
            h = self._applied(params["blocks"][str(i)], h, c)
        last = params["last"]
        shift, scale = _modulation(last["modulation"], c, 2)
        return self._joined(linear.apply(last["output"], _modulated(h, shift, scale)))

    def _block(self, key: Key, dtype: torch.dtype) -> Params:
        first, second, third = keys.split(key, 3)
        return {
            "modulation": self._zeros(6 * self.width, dtype, key.device),
            "attention": attention.init(first, self.width, xavier, dtype),
            "hidden": linear.init(second, self.width, 4 * self.width, xavier, dtype),
            "output": linear.init(third, 4 * self.width, self.width, xavier, dtype),
        }

    def _applied(self, params: Params, h: Tensor, c: Tensor) -> Tensor:
        shift, scale, gate, later_shift, later_scale, later_gate = _modulation(params["modulation"], c, 6)
        h = h + gate * attention.bidirectional(params["attention"], _modulated(h, shift, scale), self.heads)
        hidden = F.gelu(linear.apply(params["hidden"], _modulated(h, later_shift, later_scale)))
        return h + later_gate * linear.apply(params["output"], hidden)

    def _zeros(self, outputs: int, dtype: torch.dtype, device: torch.device) -> Params:
        """A linear layer of the width's features, which starts at 0."""
        weight = torch.zeros(outputs, self.width, dtype=dtype, device=device)
        return {"weight": weight, "bias": torch.zeros_like(weight[:, 0])}

    def _patches(self, x: Tensor) -> Tensor:
        """(..., d) -> (..., tokens, coordinates), row by row of the image."""
        channels, height, width = self.image
        across, down = width // self.patch[1], height // self.patch[0]
        return rearrange(
            x, "... (c r p k q) -> ... (r k) (c p q)", c=channels, r=down, k=across, p=self.patch[0], q=self.patch[1]
        )

    def _joined(self, h: Tensor) -> Tensor:
        """The inverse of `_patches`."""
        channels, height, width = self.image
        across, down = width // self.patch[1], height // self.patch[0]
        return rearrange(
            h, "... (r k) (c p q) -> ... (c r p k q)", c=channels, r=down, k=across, p=self.patch[0], q=self.patch[1]
        )


def image(shape: Sequence[int], patch: int, width: int = 64, layers: int = 3, heads: int = 4) -> Dit:
    """Of flat images of (channels, height, width), in squares of `patch` pixels a side.

    ValueError for a patch that does not divide the sides, and for heads that do not divide the width.
    """
    sizes, patch = check_sizes("shape", shape, length=3), check_count("patch", patch)
    if sizes[1] % patch or sizes[2] % patch:
        raise ValueError(f"expected patch that divides the sides {sizes[1]} and {sizes[2]}, got {patch}: choose one")
    return _checked((sizes[0], sizes[1], sizes[2]), (patch, patch), width, layers, heads)


def vector(data: int, tokens: int, width: int = 64, layers: int = 3, heads: int = 4) -> Dit:
    """Of vectors without an order, such as latents, in `tokens` runs of as many coordinates.

    ValueError for tokens that do not divide the coordinates, and for heads that do not divide the width.
    """
    data, tokens = check_count("data", data), check_count("tokens", tokens)
    if data % tokens:
        raise ValueError(f"expected tokens that divide the {data} coordinates, got {tokens}: each token has as many")
    return _checked((1, 1, data), (1, data // tokens), width, layers, heads)


def _checked(shape: tuple[int, int, int], patch: tuple[int, int], width: int, layers: int, heads: int) -> Dit:
    width, layers, heads = check_count("width", width), check_count("layers", layers), check_count("heads", heads)
    if width % heads:
        raise ValueError(f"expected heads that divide the width {width}, got {heads}: each head has as many features")
    return Dit(shape, patch, width, layers, heads)


def _modulation(params: Params, c: Tensor, count: int) -> tuple[Tensor, ...]:
    """`count` vectors of features, the same at every token: (..., 1, width) each."""
    return linear.apply(params, c)[..., None, :].chunk(count, -1)


def _modulated(h: Tensor, shift: Tensor, scale: Tensor) -> Tensor:
    return (1 + scale) * F.layer_norm(h, h.shape[-1:]) + shift

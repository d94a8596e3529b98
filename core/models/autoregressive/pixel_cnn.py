"""The gated PixelCNN (van den Oord et al., 2016, "Conditional image generation with PixelCNN decoders").

    model = pixel_cnn.build(image=(8, 8), levels=17)

Two stacks of masked convolutions: a vertical one of the rows above a pixel, and a horizontal one of those to its left,
which takes the vertical one in, so that there is no blind spot. The masks of the first layer leave out the pixel's own
row and the pixel itself (type A), those of later layers have them (type B), for features there know nothing of them.

A layer is tanh(a) sigmoid(b) of the two halves of a convolution, with a residual connection in the horizontal stack.
"""

from dataclasses import dataclass

import torch
from einops import rearrange
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

from jensen.core import keys
from jensen.core.checks import check_count, check_sizes
from jensen.core.contracts import Key
from jensen.core.models.autoregressive.pixels import PixelModel
from jensen.core.nn import conv, masking
from jensen.core.nn.initial import xavier
from jensen.core.trees import Params, check_keys


@dataclass(frozen=True)
class PixelCnn(PixelModel):
    """A first layer of kernel `first`, then `layers` of kernel `kernel`, of `features` channels each."""

    image: tuple[int, int]
    features: int
    layers: int
    kernel: int
    first: int

    def init_network(self, key: Key, dtype: torch.dtype, /) -> Params:
        """{"first", "layers": {"0", ...}, "output": {"0", "1"}}, the last layer of which is 0."""
        first, hidden, last, *each = keys.split(key, 3 + self.layers)
        output = {
            "0": conv.init(hidden, self.features, self.features, 1, dtype=dtype),
            "1": conv.init(last, self.features, self.levels, 1, dtype=dtype),
        }
        output["1"]["weight"] = torch.zeros_like(output["1"]["weight"])
        return {
            "first": self._init_layer(first, 1, self.first, dtype),
            "layers": {str(i): self._init_layer(k, self.features, self.kernel, dtype) for i, k in enumerate(each)},
            "output": output,
        }

    def read(self, network: Params, shades: Float[Tensor, "n D"], /) -> Float[Tensor, "n D k"]:
        """By one pass of both stacks."""
        check_keys(network, ("first", "layers", "output"))
        check_keys(network["layers"], tuple(str(i) for i in range(self.layers)))
        x = rearrange(shades, "n (h w) -> n 1 h w", w=self.image[1])
        vertical, horizontal = _layer(network["first"], x, x, centre=False)
        for i in range(self.layers):
            vertical, added = _layer(network["layers"][str(i)], vertical, horizontal, centre=True)
            horizontal = horizontal + added
        h = conv.apply(network["output"]["0"], F.relu(horizontal))
        return rearrange(conv.apply(network["output"]["1"], F.relu(h)), "n k h w -> n (h w) k")

    def _init_layer(self, key: Key, inputs: int, kernel: int, dtype: torch.dtype) -> Params:
        vertical, horizontal, between, output = keys.split(key, 4)
        gates = 2 * self.features
        return {
            "vertical": conv.init(vertical, inputs, gates, kernel, weight=xavier, dtype=dtype),
            "horizontal": conv.init(horizontal, inputs, gates, (1, kernel), weight=xavier, dtype=dtype),
            "between": conv.init(between, gates, gates, 1, weight=xavier, dtype=dtype),
            "output": conv.init(output, self.features, self.features, 1, weight=xavier, dtype=dtype),
        }


def _layer(params: Params, vertical: Tensor, horizontal: Tensor, centre: bool) -> tuple[Tensor, Tensor]:
    """Both stacks' next features; `centre`: whether they see those at their own row and place."""
    check_keys(params, ("vertical", "horizontal", "between", "output"))
    kernel = params["vertical"]["weight"].shape[-1]
    before = masking.before(kernel, centre, vertical.device)
    rows, columns = masking.masked(params["vertical"], before[:, None]), masking.masked(params["horizontal"], before)
    above = conv.apply(rows, vertical, padding=kernel // 2)
    left = conv.apply(columns, horizontal, padding=(0, kernel // 2)) + conv.apply(params["between"], above)
    return _gated(above), conv.apply(params["output"], _gated(left))


def _gated(x: Float[Tensor, "n gates h w"]) -> Float[Tensor, "n features h w"]:
    a, b = x.chunk(2, 1)
    return torch.tanh(a) * torch.sigmoid(b)


def build(
    image: tuple[int, int], levels: int = 2, features: int = 32, layers: int = 5, kernel: int = 3, first: int = 7
) -> PixelCnn:
    """Of grey images (height, width); a pixel sees first // 2 + layers (kernel // 2) rows above it."""
    height, width = check_sizes("image", image, length=2)
    for name, side in (("kernel", kernel), ("first", first)):
        if check_count(name, side) % 2 == 0:
            raise ValueError(f"expected {name}, an odd number, got {side}: an even kernel has no centre")
    levels, features = check_count("levels", levels, 2), check_count("features", features)
    if first < 3:
        raise ValueError(f"expected first of 3 or more, got {first}: without its centre nothing is left of it")
    return PixelCnn(height * width, levels, (height, width), features, check_count("layers", layers), kernel, first)

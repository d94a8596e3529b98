"""The masked autoencoder for distribution estimation, MADE (Germain et al., 2015): a perceptron with masked weights.

    model = made.build(pixels=64, levels=2, hidden=(256,))

A hidden unit of degree k sees the first k pixels, and the logits of a pixel the units of degrees below its place.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from einops import rearrange
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

from jensen.core.checks import check_count, check_sizes
from jensen.core.contracts import Key
from jensen.core.models.autoregressive.pixels import PixelModel
from jensen.core.nn import linear, masking, mlp
from jensen.core.nn.initial import he
from jensen.core.trees import Params, check_keys


@dataclass(frozen=True)
class Made(PixelModel):
    """Layers of rectifiers, pixels -> *hidden -> levels * pixels, in the order of the pixels."""

    hidden: tuple[int, ...]

    def init_network(self, key: Key, dtype: torch.dtype, /) -> Params:
        """A perceptron whose last layer is 0."""
        params = mlp.init(key, (self.pixels, *self.hidden, self.levels * self.pixels), he, dtype)
        mlp.last(params)["weight"] = torch.zeros_like(mlp.last(params)["weight"])
        return params

    def read(self, network: Params, shades: Float[Tensor, "n D"], /) -> Float[Tensor, "n D k"]:
        """By one pass of the perceptron under its masks."""
        check_keys(network, tuple(str(i) for i in range(len(self.hidden) + 1)))
        *hidden, last = masking.perceptron(self.pixels, self.hidden, self.levels, shades.device)
        for i, mask in enumerate(hidden):
            shades = F.relu(linear.apply(masking.masked(network[str(i)], mask), shades))
        logits = linear.apply(masking.masked(network[str(len(hidden))], last), shades)
        return rearrange(logits, "n (k d) -> n d k", k=self.levels)


def build(pixels: int, levels: int = 2, hidden: Sequence[int] = (256,)) -> Made:
    """Of images of so many pixels, with hidden layers of these widths."""
    if not (hidden := check_sizes("hidden", hidden)):
        raise ValueError("expected hidden of one width or more, got (): pass (256,)")
    return Made(check_count("pixels", pixels), check_count("levels", levels, 2), hidden)

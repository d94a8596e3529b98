"""A critic of patches (Isola et al., 2017): convolutions whose every output is of one patch of an image, and no more.

    critic = Patches((1, 28, 28), channels=(32, 64))
    params = critic.init(key)
    values = critic(params, x)           # x (n, D) -> (n, h, w), one for each patch

A level halves the sides, and a convolution of kernel 3 over the last one gives the values; neighbouring patches
overlap.
"""

import math
from dataclasses import dataclass

import torch
from einops import rearrange
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

from jensen.core import keys
from jensen.core.checks import check_floating, check_key, check_sizes
from jensen.core.contracts import Key
from jensen.core.nn import conv
from jensen.core.nn.convnet import KERNEL, PADDING, STRIDE, Image, smallest
from jensen.core.nn.initial import he
from jensen.core.trees import Params, check_keys

HEAD = 3  # the last convolution's kernel
SLOPE = 0.2  # of the units below 0


@dataclass(frozen=True)
class Patches:
    """Levels of so many channels. Parameters are {"levels": {"0": conv, ...}, "head": conv}."""

    image: Image
    channels: tuple[int, ...]

    def __post_init__(self) -> None:
        smallest(self.image, check_sizes("channels", self.channels))

    @property
    def side(self) -> int:
        """Pixels of a patch's side, those outside the image among them."""
        side = HEAD
        for _ in self.channels:
            side = STRIDE * (side - 1) + KERNEL
        return side

    def init(self, key: Key, dtype: torch.dtype = torch.float32, /) -> Params:
        """Parameters on the key's device."""
        check_key(key)
        *each, head = keys.split(key, len(self.channels) + 1)
        sizes = (self.image[0], *self.channels)
        levels = {
            str(i): conv.init(k, sizes[i], sizes[i + 1], KERNEL, weight=he, dtype=dtype) for i, k in enumerate(each)
        }
        return {"levels": levels, "head": conv.init(head, sizes[-1], 1, HEAD, weight=he, dtype=dtype)}

    def __call__(self, params: Params, x: Float[Tensor, "n D"], /) -> Float[Tensor, "n h w"]:
        """A value of each patch."""
        check_keys(params, ("levels", "head"))
        check_floating("x", x, f"n {math.prod(self.image)}", "flatten the pixels of each datum")
        channels, height, _ = self.image
        h = rearrange(x, "n (c h w) -> n c h w", c=channels, h=height)
        for i in range(len(self.channels)):
            h = F.leaky_relu(conv.apply(params["levels"][str(i)], h, stride=STRIDE, padding=PADDING), SLOPE)
        return conv.apply(params["head"], h, padding=HEAD // 2).squeeze(1)

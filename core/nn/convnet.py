"""A convolutional encoder, and a transposed-convolutional decoder: each level halves, or doubles, the image's sides.

Images enter and leave flat, (..., channels * height * width), so that they fit where an mlp fits.
"""

import math
from collections.abc import Sequence
from typing import TypeAlias

import torch
from einops import rearrange
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

from jensen.core import keys
from jensen.core.checks import check_dtype, check_function, check_key, check_sizes, check_tensor
from jensen.core.contracts import Key
from jensen.core.nn import conv, linear
from jensen.core.nn.initial import Activation, Initialiser, he
from jensen.core.trees import Params, check_keys

Image: TypeAlias = tuple[int, int, int]  # channels, height, width
KERNEL, STRIDE, PADDING = 4, 2, 1  # halves an even side exactly, and its transpose doubles it


def init_encoder(
    key: Key,
    image: Image,
    channels: Sequence[int],
    outputs: int,
    weight: Initialiser = he,
    dtype: torch.dtype = torch.float32,
) -> Params:
    """{"levels": {"0": conv, ...}, "head": linear} for image (c, h, w) -> (outputs,)."""
    check_key(key)
    height, width = smallest(image, channels)
    *each, head = keys.split(key, len(channels) + 1)
    sizes = (image[0], *channels)
    levels = {
        str(i): conv.init(k, sizes[i], sizes[i + 1], KERNEL, weight=weight, dtype=dtype) for i, k in enumerate(each)
    }
    return {"levels": levels, "head": linear.init(head, channels[-1] * height * width, outputs, dtype=dtype)}


def encode(
    params: Params, x: Float[Tensor, "... chw"], image: Image, activation: Activation = F.relu
) -> Float[Tensor, "... o"]:
    """x (..., c * h * w) -> (..., outputs)."""
    check_keys(params, ("levels", "head"))
    check_function("activation", activation, "torch.relu")
    channels, height, width = _sides(image)
    check_tensor("x", x)
    if x.ndim == 0 or x.shape[-1] != math.prod(image):
        raise ValueError(f"expected x (..., {math.prod(image)}) for {image}, got {tuple(x.shape)}: flatten the images")
    x = rearrange(x, "... (c h w) -> ... c h w", c=channels, h=height, w=width)
    for i in range(len(params["levels"])):
        x = activation(conv.apply(params["levels"][str(i)], x, stride=STRIDE, padding=PADDING))
    return linear.apply(params["head"], rearrange(x, "... c h w -> ... (c h w)"))


def init_decoder(
    key: Key,
    inputs: int,
    channels: Sequence[int],
    image: Image,
    weight: Initialiser = he,
    dtype: torch.dtype = torch.float32,
) -> Params:
    """{"stem": linear, "levels": {"0": transposed conv, ...}, "bias": (c * h * w,)} for (inputs,) -> image."""
    check_key(key)
    height, width = smallest(image, channels)
    stem, *each = keys.split(key, len(channels) + 1)
    sizes = (*channels, image[0])
    levels = {
        str(i): conv.init_transposed(k, sizes[i], sizes[i + 1], KERNEL, weight=weight, dtype=dtype)
        for i, k in enumerate(each)
    }
    return {
        "stem": linear.init(stem, inputs, channels[0] * height * width, dtype=dtype),
        "levels": levels,
        "bias": torch.zeros(math.prod(image), dtype=dtype, device=key.device),
    }


def decode(
    params: Params, z: Float[Tensor, "... i"], image: Image, activation: Activation = F.relu
) -> Float[Tensor, "... chw"]:
    """z (..., inputs) -> (..., c * h * w), plus a bias per pixel."""
    check_keys(params, ("stem", "levels", "bias"))
    check_function("activation", activation, "torch.relu")
    image = _sides(image)
    check_tensor("z", z)
    check_dtype("z", z, params["bias"], "the parameters")
    levels = len(params["levels"])
    x = linear.apply(params["stem"], z)
    x = rearrange(x, "... (c h w) -> ... c h w", h=image[1] >> levels, w=image[2] >> levels)
    for i in range(levels):
        x = conv.apply_transposed(params["levels"][str(i)], activation(x), stride=STRIDE, padding=PADDING)
    return rearrange(x, "... c h w -> ... (c h w)") + params["bias"]


def smallest(image: Image, channels: Sequence[int]) -> tuple[int, int]:
    """The sides after halving once per level. ValueError for sides that do not divide."""
    image, channels = _sides(image), check_sizes("channels", channels)
    factor = 2 ** len(channels)
    if not channels or image[1] % factor or image[2] % factor:
        raise ValueError(
            f"expected channels of one level or more, and an image whose sides are divisible by 2 per level, got image "
            f"{image} and channels {channels}: pad the images or use fewer levels"
        )
    return image[1] // factor, image[2] // factor


def _sides(image: Image) -> Image:
    """Channels, height and width, checked."""
    channels, height, width = check_sizes("image", image, length=3)
    return channels, height, width

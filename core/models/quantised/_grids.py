"""Convolutions from images to smaller grids and back, (..., channels, height, width), each datum by itself.

A level halves the sides, or doubles them; at the smallest there is a residual block.
"""

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from jensen.core import keys
from jensen.core.contracts import Key
from jensen.core.nn import conv, residual
from jensen.core.nn.convnet import KERNEL, PADDING, STRIDE
from jensen.core.nn.initial import Activation, Initialiser
from jensen.core.trees import Params, check_keys


def init_down(
    key: Key, inputs: int, channels: Sequence[int], outputs: int, weight: Initialiser, dtype: torch.dtype
) -> Params:
    """{"levels": {"0": conv, ...}, "block": residual, "head": conv of kernel 1}: inputs -> outputs."""
    *each, block, head = keys.split(key, len(channels) + 2)
    sizes = (inputs, *channels)
    levels = {
        str(i): conv.init(k, sizes[i], sizes[i + 1], KERNEL, weight=weight, dtype=dtype) for i, k in enumerate(each)
    }
    return {
        "levels": levels,
        "block": residual.init_conv(block, channels[-1], channels[-1], weight=weight, dtype=dtype),
        "head": conv.init(head, channels[-1], outputs, 1, weight=weight, dtype=dtype),
    }


def down(params: Params, x: Float[Tensor, "n i H W"], activation: Activation) -> Float[Tensor, "n o h w"]:
    """Each level's convolution and activation, the block, and the head."""
    check_keys(params, ("levels", "block", "head"))
    for i in range(len(params["levels"])):
        x = activation(conv.apply(params["levels"][str(i)], x, stride=STRIDE, padding=PADDING))
    return conv.apply(params["head"], activation(residual.apply_conv(params["block"], x, activation=activation)))


def init_up(
    key: Key, inputs: int, channels: Sequence[int], outputs: int, weight: Initialiser, dtype: torch.dtype
) -> Params:
    """{"stem": conv of kernel 3, "block": residual, "levels": {"0": transposed conv, ...}}: inputs -> outputs.

    Channels are as `init_down` has them, from the image to the grid.
    """
    stem, block, *each = keys.split(key, len(channels) + 2)
    sizes = (*reversed(channels), outputs)
    levels = {
        str(i): conv.init_transposed(k, sizes[i], sizes[i + 1], KERNEL, weight=weight, dtype=dtype)
        for i, k in enumerate(each)
    }
    return {
        "stem": conv.init(stem, inputs, sizes[0], 3, weight=weight, dtype=dtype),
        "block": residual.init_conv(block, sizes[0], sizes[0], weight=weight, dtype=dtype),
        "levels": levels,
    }


def up(params: Params, z: Float[Tensor, "n i h w"], activation: Activation) -> Float[Tensor, "n o H W"]:
    """The stem, the block, and each level's activation and transposed convolution."""
    check_keys(params, ("stem", "block", "levels"))
    h = residual.apply_conv(params["block"], conv.apply(params["stem"], z, padding=1), activation=activation)
    for i in range(len(params["levels"])):
        h = conv.apply_transposed(params["levels"][str(i)], activation(h), stride=STRIDE, padding=PADDING)
    return h

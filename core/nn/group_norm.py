"""Group normalisation (Wu and He, 2018): the channels of each group, and all their sides, by their mean and variance.

y = weight (x - mean) / sqrt(variance + eps) + bias for each datum by itself; one group normalises a whole image.
"""

import math

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

from jensen.core.checks import check_count, check_dtype, check_number
from jensen.core.nn.channels import check_channels, ones
from jensen.core.trees import Params, check_keys


def init(
    channels: int, sides: int = 0, dtype: torch.dtype = torch.float32, device: torch.device | str | None = None
) -> Params:
    """{"weight": ones, "bias": zeros}: (channels,), followed by an axis of 1 for each side."""
    weight = ones("channels", channels, sides, dtype, device)
    return {"weight": weight, "bias": torch.zeros_like(weight)}


def apply(params: Params, x: Float[Tensor, "..."], groups: int = 1, eps: float = 1e-5) -> Float[Tensor, "..."]:
    """x (..., channels, *sides) -> y of its shape. ValueError for groups that do not divide the channels."""
    check_keys(params, ("weight", "bias"))
    weight = params["weight"]
    channels, axes = len(weight), weight.ndim
    check_channels(x, channels, axes - 1)
    check_dtype("x", x, weight, "the parameters")
    if channels % check_count("groups", groups):
        raise ValueError(f"expected groups that divide {channels} channels, got {groups}: pass 1 for all in one")
    flat = x.reshape(math.prod(x.shape[:-axes]), *x.shape[-axes:])
    eps = check_number("eps", eps, "[0, inf)")
    return F.group_norm(flat, groups, weight.flatten(), params["bias"].flatten(), eps).reshape(x.shape)

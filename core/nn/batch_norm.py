"""Batch normalisation (Ioffe and Szegedy, 2015), with running statistics as a state: in, and out.

    params, state = init(8, sides=2)                     # for images of 8 channels
    y, state = apply(params, state, x, training=True)    # x (..., 8, height, width)
    y, _ = apply(params, state, x, training=False)

y = weight (x - mean) / sqrt(variance + eps) + bias, with the moments of each channel over all other axes of x in
training, so that a datum's output depends on its batch, and with the running ones else.
"""

from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from jensen.core.checks import check_dtype, check_number, described
from jensen.core.nn.channels import check_channels, ones
from jensen.core.numerics import at_least_float32
from jensen.core.trees import Params, check_keys


class Running(NamedTuple):
    """Moving averages of each channel's mean and unbiased variance, in float32 at least."""

    mean: Float[Tensor, "c *ones"]
    variance: Float[Tensor, "c *ones"]


def init(
    channels: int, sides: int = 0, dtype: torch.dtype = torch.float32, device: torch.device | str | None = None
) -> tuple[Params, Running]:
    """{"weight": ones, "bias": zeros} and mean 0, variance 1: (channels,), followed by an axis of 1 for each side."""
    weight = ones("channels", channels, sides, dtype, device)
    wide = at_least_float32(weight)
    return {"weight": weight, "bias": torch.zeros_like(weight)}, Running(torch.zeros_like(wide), torch.ones_like(wide))


def apply(
    params: Params, state: Running, x: Float[Tensor, "..."], training: bool, momentum: float = 0.1, eps: float = 1e-5
) -> tuple[Float[Tensor, "..."], Running]:
    """(y, state'): x (..., channels, *sides) -> y of its shape.

    In training, running <- (1 - momentum) running + momentum batch's, detached; else the state as it came. ValueError
    for training on one value of a channel, which has no variance.
    """
    check_keys(params, ("weight", "bias"))
    weight, bias = params["weight"], params["bias"]
    if not isinstance(state, Running):
        raise TypeError(f"expected state, a batch_norm.Running, got {described(state)}: pass what init gave")
    check_channels(x, len(weight), weight.ndim - 1)
    check_dtype("x", x, weight, "the parameters")
    momentum = check_number("momentum", momentum, "[0, 1]", "the share of the batch in the running statistics")
    eps = check_number("eps", eps, "[0, inf)")
    wide = at_least_float32(x)
    mean, variance = state
    if training:
        variance, mean, count = _moments(wide, weight.ndim)
        batch = Running(mean.detach(), variance.detach() * (count / (count - 1)))
        state = Running(*(old.lerp(new, momentum) for old, new in zip(state, batch, strict=True)))
    return ((wide - mean) * torch.rsqrt(variance + eps) * weight + bias).to(x.dtype), state


def _moments(x: Tensor, axes: int) -> tuple[Tensor, Tensor, int]:
    """Variance and mean of each channel, the first of the last so many axes, and of how many values they are."""
    count = x.numel() // x.shape[-axes]
    if count < 2:
        raise ValueError(
            f"expected x of two values or more for each channel in training, got {tuple(x.shape)}: pass a larger batch "
            "or training=False"
        )
    over = [axis for axis in range(x.ndim) if axis != x.ndim - axes]
    variance, mean = torch.var_mean(x, over, correction=0, keepdim=True)
    shape = x.shape[-axes], *(1,) * (axes - 1)
    return variance.reshape(shape), mean.reshape(shape), count

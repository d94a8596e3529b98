"""2-d convolution and its transpose, over (..., channels, height, width) with any number of leading axes."""

from collections.abc import Callable

import torch
from einops import rearrange
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

from jensen.core.checks import check_count, check_dtype, check_function, check_tensor
from jensen.core.contracts import Key
from jensen.core.nn.initial import Initialiser, he
from jensen.core.trees import Params, check_keys


def init(
    key: Key, inputs: int, outputs: int, kernel: int, weight: Initialiser = he, dtype: torch.dtype = torch.float32
) -> Params:
    """{"weight": (outputs, inputs, kernel, kernel), "bias": (outputs,) of zeros}."""
    return {
        "weight": _drawn(key, inputs, outputs, kernel, weight, dtype),
        "bias": torch.zeros(outputs, dtype=dtype, device=key.device),
    }


def apply(
    params: Params, x: Float[Tensor, "... i h w"], stride: int = 1, padding: int = 0
) -> Float[Tensor, "... o h2 w2"]:
    """x (..., inputs, h, w) -> (..., outputs, h', w')."""
    return _over_leading(F.conv2d, params, x, 1, stride, padding)


def init_transposed(
    key: Key, inputs: int, outputs: int, kernel: int, weight: Initialiser = he, dtype: torch.dtype = torch.float32
) -> Params:
    """{"weight": (inputs, outputs, kernel, kernel), "bias": (outputs,) of zeros}."""
    drawn = _drawn(key, inputs, outputs, kernel, weight, dtype)
    return {"weight": drawn.transpose(0, 1).contiguous(), "bias": torch.zeros(outputs, dtype=dtype, device=key.device)}


def apply_transposed(
    params: Params, x: Float[Tensor, "... i h w"], stride: int = 1, padding: int = 0
) -> Float[Tensor, "... o h2 w2"]:
    """x (..., inputs, h, w) -> (..., outputs, h', w'), with h' = stride (h - 1) + kernel - 2 padding."""
    return _over_leading(F.conv_transpose2d, params, x, 0, stride, padding)


def _drawn(key: Key, inputs: int, outputs: int, kernel: int, weight: Initialiser, dtype: torch.dtype) -> Tensor:
    inputs, outputs = check_count("inputs", inputs), check_count("outputs", outputs)
    check_function("weight", weight, "initial.he")
    kernel = check_count("kernel", kernel)
    return weight(key, (outputs, inputs, kernel, kernel), dtype)


def _over_leading(
    f: Callable[..., Tensor], params: Params, x: Tensor, input_axis: int, stride: int, padding: int
) -> Tensor:
    """f over images, whatever axes lead them."""
    check_keys(params, ("weight", "bias"))
    check_tensor("x", x)
    inputs = params["weight"].shape[input_axis]
    if x.ndim < 3 or x.shape[-3] != inputs:
        raise ValueError(
            f"expected x (..., {inputs}, height, width), got {tuple(x.shape)}: channels come before height and width"
        )
    check_dtype("x", x, params["weight"], "the parameters")
    stride, padding = check_count("stride", stride), check_count("padding", padding, 0)
    out = f(rearrange(x, "... i h w -> (...) i h w"), params["weight"], params["bias"], stride=stride, padding=padding)
    return out.reshape(*x.shape[:-3], *out.shape[1:])

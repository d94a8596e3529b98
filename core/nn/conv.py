"""Convolution and its transpose, 1-d over (..., channels, length) and 2-d over (..., channels, height, width).

Any number of axes may lead. The kernel's sides say which of the two it is: (3,) is 1-d, (3, 5) is 2-d, and so is the
square 3. Stride, padding and dilation are one number for every axis, or one for each.
"""

import math
from collections.abc import Callable

import torch
from einops import rearrange
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

from jensen.core.checks import check_count, check_dtype, check_function
from jensen.core.contracts import Key
from jensen.core.nn.channels import check_channels
from jensen.core.nn.initial import Initialiser, he
from jensen.core.nn.windows import Extent, Window, along, axes_of, input_size, output_size
from jensen.core.trees import Params, check_keys


def init(
    key: Key, inputs: int, outputs: int, kernel: Extent, groups: int = 1, weight: Initialiser = he,
    dtype: torch.dtype = torch.float32,
) -> Params:  # fmt: skip
    """{"weight": (outputs, inputs / groups, *kernel), "bias": (outputs,) of zeros}."""
    return {
        "weight": _drawn(key, inputs, outputs, kernel, groups, weight, dtype),
        "bias": torch.zeros(outputs, dtype=dtype, device=key.device),
    }


def apply(
    params: Params, x: Float[Tensor, "..."], stride: Extent = 1, padding: Extent = 0, dilation: Extent = 1,
    groups: int = 1,
) -> Float[Tensor, "..."]:  # fmt: skip
    """x (..., inputs, *sides) -> (..., outputs, *sides'), with sides' by `windows.output_size`.

    Each of the groups of outputs sees its own group of inputs. ValueError where no output is left.
    """
    inputs = _weight(params).shape[1] * check_count("groups", groups)
    if len(params["weight"]) % groups:
        raise ValueError(f"expected groups that divide {len(params['weight'])} outputs, got {groups}: as init had them")
    f = F.conv1d if params["weight"].ndim == 3 else F.conv2d
    return _over_leading(f, params, x, inputs, output_size, stride, padding, dilation, groups)


def init_transposed(
    key: Key, inputs: int, outputs: int, kernel: Extent, groups: int = 1, weight: Initialiser = he,
    dtype: torch.dtype = torch.float32,
) -> Params:  # fmt: skip
    """{"weight": (inputs, outputs / groups, *kernel), "bias": (outputs,) of zeros}."""
    drawn = _drawn(key, inputs, outputs, kernel, groups, weight, dtype)
    return {
        "weight": rearrange(drawn, "(g o) i ... -> (g i) o ...", g=groups).contiguous(),
        "bias": torch.zeros(outputs, dtype=dtype, device=key.device),
    }


def apply_transposed(
    params: Params, x: Float[Tensor, "..."], stride: Extent = 1, padding: Extent = 0, dilation: Extent = 1,
    groups: int = 1,
) -> Float[Tensor, "..."]:  # fmt: skip
    """x (..., inputs, *sides) -> (..., outputs, *sides'), with sides' by `windows.input_size`.

    ValueError where the padding leaves no output.
    """
    inputs = _weight(params).shape[0]
    if inputs % check_count("groups", groups):
        raise ValueError(f"expected groups that divide {inputs} inputs, got {groups}: as init had them")
    f = F.conv_transpose1d if params["weight"].ndim == 3 else F.conv_transpose2d
    return _over_leading(f, params, x, inputs, input_size, stride, padding, dilation, groups)


def _drawn(
    key: Key, inputs: int, outputs: int, kernel: Extent, groups: int, weight: Initialiser, dtype: torch.dtype
) -> Tensor:
    inputs, outputs = check_count("inputs", inputs), check_count("outputs", outputs)
    check_function("weight", weight, "initial.he")
    sides = [window.kernel for window in along(axes_of(kernel), kernel)]
    if inputs % check_count("groups", groups) or outputs % groups:
        raise ValueError(f"expected groups that divide {inputs} inputs and {outputs} outputs, got {groups}: pass 1")
    return weight(key, (outputs, inputs // groups, *sides), dtype)


def _weight(params: Params) -> Tensor:
    check_keys(params, ("weight", "bias"))
    return params["weight"]


def _over_leading(
    f: Callable[..., Tensor], params: Params, x: Tensor, inputs: int, size: Callable[[int, tuple[Window, ...]], int],
    stride: Extent, padding: Extent, dilation: Extent, groups: int,
) -> Tensor:  # fmt: skip
    """f over series or images, whatever axes lead them."""
    kernel = tuple(params["weight"].shape[2:])
    axes = len(kernel)
    check_channels(x, inputs, axes)
    check_dtype("x", x, params["weight"], "the parameters")
    windows = along(axes, kernel, stride, padding, dilation)
    for side, window in zip(x.shape[-axes:], windows, strict=True):
        size(side, (window,))
    leading, event = x.shape[: -axes - 1], x.shape[-axes - 1 :]
    strides, paddings, dilations = (
        [getattr(window, name) for window in windows] for name in ("stride", "padding", "dilation")
    )
    out = f(
        x.reshape(math.prod(leading), *event), params["weight"], params["bias"], strides, paddings, groups=groups,
        dilation=dilations,
    )  # fmt: skip
    return out.reshape(*leading, *out.shape[1:])

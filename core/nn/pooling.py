"""Max and mean pooling, 1-d over (..., length) and 2-d over (..., height, width), whatever axes lead.

The kernel's sides say which of the two it is: (2,) is 1-d, (2, 3) is 2-d, and so is the square 2. It moves by its own
sides unless a stride is given. Padding lies outside: it is never the largest, and no part of a mean.
"""

import math
from collections.abc import Callable

from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

from jensen.core.checks import check_floating
from jensen.core.nn.channels import SIDES
from jensen.core.nn.windows import Extent, along, axes_of, output_size


def max_pool(
    x: Float[Tensor, "..."], kernel: Extent, stride: Extent | None = None, padding: Extent = 0
) -> Float[Tensor, "..."]:
    """The largest of each window: x (..., *sides) -> (..., *sides'), with sides' by `windows.output_size`."""
    return _pooled((F.max_pool1d, F.max_pool2d), x, kernel, stride, padding)


def mean_pool(
    x: Float[Tensor, "..."], kernel: Extent, stride: Extent | None = None, padding: Extent = 0
) -> Float[Tensor, "..."]:
    """The mean of each window's inputs: x (..., *sides) -> (..., *sides'), with sides' by `windows.output_size`."""
    return _pooled((F.avg_pool1d, F.avg_pool2d), x, kernel, stride, padding, count_include_pad=False)


def _pooled(
    each: tuple[Callable[..., Tensor], Callable[..., Tensor]], x: Tensor, kernel: Extent, stride: Extent | None,
    padding: Extent, **options: bool,
) -> Tensor:  # fmt: skip
    axes = axes_of(kernel)
    windows = along(axes, kernel, kernel if stride is None else stride, padding)
    check_floating("x", x)
    if x.ndim < axes:
        raise ValueError(f"expected x (..., {SIDES[axes]}), got {tuple(x.shape)}: the window slides over the last axes")
    for side, window in zip(x.shape[-axes:], windows, strict=True):
        if 2 * window.padding > window.kernel:
            raise ValueError(
                f"expected padding of half the kernel's {window.kernel} at most, got {window.padding}: a window "
                "would lie outside"
            )
        output_size(side, (window,))
    sizes = ([getattr(window, name) for window in windows] for name in ("kernel", "stride", "padding"))
    leading, sides = x.shape[:-axes], x.shape[-axes:]
    out = each[axes - 1](x.reshape(1, math.prod(leading), *sides), *sizes, **options)
    return out.reshape(*leading, *out.shape[2:])

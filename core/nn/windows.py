"""Windows that slide along an axis, as convolution and pooling have them: output sizes and receptive fields of stacks.

    layers = (Window(3, padding=1), Window(2, stride=2))  # a convolution, then pooling
    output_size(28, layers)                               # 14
    receptive_field((Window(3),) * 3)                     # 7

Sizes are those of one axis.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TypeAlias

from jensen.core.checks import check_count, check_sizes, described

Extent: TypeAlias = int | Sequence[int]  # one whole number for every axis, or one for each


@dataclass(frozen=True)
class Window:
    """The window of one layer along one axis: `kernel` inputs that are `dilation` apart, moved by `stride`."""

    kernel: int
    stride: int = 1
    padding: int = 0  # on either side
    dilation: int = 1

    def __post_init__(self) -> None:
        for name, least in (("kernel", 1), ("stride", 1), ("padding", 0), ("dilation", 1)):
            check_count(name, getattr(self, name), least)

    @property
    def span(self) -> int:
        """From its first input to its last."""
        return self.dilation * (self.kernel - 1) + 1


def output_size(size: int, layers: Sequence[Window]) -> int:
    """How many outputs an axis of so many inputs has: floor((size + 2 padding - span) / stride) + 1 at each layer.

    ValueError where a layer leaves nothing.
    """
    size = check_count("size", size)
    for window in _checked(layers):
        least = max(window.span - 2 * window.padding, 1)
        if size < least:
            raise ValueError(
                f"expected x of a size of {least} or more for {window}, got {size}: nothing is left; use a smaller "
                "kernel, more padding or fewer layers"
            )
        size = (size + 2 * window.padding - window.span) // window.stride + 1
    return size


def input_size(size: int, layers: Sequence[Window]) -> int:
    """The fewest inputs that have so many outputs, and what a transposed layer makes of so many inputs.

    stride (size - 1) + span - 2 padding at each layer. ValueError where padding alone would give as many.
    """
    size = check_count("size", size)
    for window in reversed(_checked(layers)):
        inputs = window.stride * (size - 1) + window.span - 2 * window.padding
        if inputs < 1:
            raise ValueError(
                f"expected padding that leaves an input of {window}, got a size of {inputs}: use less padding"
            )
        size = inputs
    return size


def receptive_field(layers: Sequence[Window]) -> int:
    """From the first input to the last that one output depends on: the extent of its row of the Jacobian."""
    return input_size(1, [replace(window, padding=0) for window in _checked(layers)])


def axes_of(kernel: Extent) -> int:
    """1 for the kernel (k,), 2 for (k, l) and for k, the side of a square."""
    axes = len(kernel) if isinstance(kernel, tuple | list) else 2
    if axes not in (1, 2):
        raise ValueError(f"expected kernel of one or two sides, got {described(kernel)}: (3,) is 1-d, (3, 3) is 2-d")
    return axes


def along(
    axes: int, kernel: Extent, stride: Extent = 1, padding: Extent = 0, dilation: Extent = 1
) -> tuple[Window, ...]:
    """A window for each of so many axes."""
    axes = check_count("axes", axes)
    kernels, strides = _each("kernel", kernel, axes), _each("stride", stride, axes)
    paddings, dilations = _each("padding", padding, axes, 0), _each("dilation", dilation, axes)
    return tuple(map(Window, kernels, strides, paddings, dilations))


def _each(name: str, extent: Extent, axes: int, least: int = 1) -> tuple[int, ...]:
    if isinstance(extent, tuple | list):
        return check_sizes(name, extent, least, axes)
    return (check_count(name, extent, least),) * axes


def _checked(layers: Sequence[Window]) -> Sequence[Window]:
    if not isinstance(layers, tuple | list) or not all(isinstance(window, Window) for window in layers):
        raise TypeError(f"expected layers, a tuple of Window, got {described(layers)}: pass (Window(kernel),)")
    return layers

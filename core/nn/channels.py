"""Where channels stand: before the sides they spread over, whatever axes lead.

Vectors are (..., channels), series (..., channels, length), images (..., channels, height, width).
"""

import torch
from torch import Tensor

from jensen.core.checks import check_count, check_floating_dtype, check_tensor

SIDES = ("", "length", "height, width")  # by their number


def check_channels(x: Tensor, channels: int, sides: int) -> None:
    """TypeError for what is no tensor, ValueError unless x (..., channels, *sides) has so many of each."""
    check_tensor("x", x)
    if x.ndim <= sides or x.shape[-sides - 1] != channels:
        axes = ", ".join(filter(None, ("...", str(channels), SIDES[sides])))
        where = f"before {SIDES[sides].replace(',', ' and')}" if sides else "last"
        raise ValueError(f"expected x ({axes}), got {tuple(x.shape)}: channels come {where}")


def ones(
    name: str, channels: int, sides: int = 0, dtype: torch.dtype = torch.float32,
    device: torch.device | str | None = None,
) -> Tensor:  # fmt: skip
    """A number for each of the channels, whose argument has this name: (channels, 1 for each of the sides)."""
    channels, sides = check_count(name, channels), check_count("sides", sides, 0)
    if sides >= len(SIDES):
        raise ValueError(f"expected sides 0, 1 or 2, got {sides}: 0 for vectors, 1 for series, 2 for images")
    check_floating_dtype(dtype)
    return torch.ones(channels, *(1,) * sides, dtype=dtype, device=device)

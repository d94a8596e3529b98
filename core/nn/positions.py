"""Positions in a sequence: sines that are added to features, and rotations of queries and keys.

Both are functions of the absolute position; `first` is that of the first row, in a later part of a sequence.
"""

import math

import torch
from jaxtyping import Float
from torch import Tensor

from jensen.core.checks import check_count, check_floating

BASE = 10_000.0  # the longest wavelength over 2 pi


def placed(x: Float[Tensor, "... t d"], first: int = 0) -> Float[Tensor, "... t d"]:
    """sin(t w_i) added to feature 2i and cos(t w_i) to 2i + 1, with w_i = BASE^(-2i / d) (Vaswani et al., 2017).

    Positions t are first, first + 1, ...; an odd last feature is given a sine.
    """
    check_floating("x", x, "... t d", "positions, then features")
    length, features = x.shape[-2:]
    angles = _angles(length, -(-features // 2), 2 / features, check_count("first", first, 0), x.device)
    return x + torch.stack([angles.sin(), angles.cos()], -1).flatten(-2)[:, :features].to(x.dtype)


def rotated(x: Float[Tensor, "... t e"], first: int = 0) -> Float[Tensor, "... t e"]:
    """Each pair (x_i, x_{i + e/2}) turned by t BASE^(-2i / e), t = first, first + 1, ... (Su et al., 2021).

    Products of a rotated query and a rotated key depend on the distance of their positions alone. ValueError for an
    odd e.
    """
    check_floating("x", x, "... t e", "positions, then the features of one head")
    length, features = x.shape[-2:]
    if features % 2:
        raise ValueError(f"expected x (..., t, e) of an even e, got {features}: choose features / heads even")
    angles = _angles(length, features // 2, 2 / features, check_count("first", first, 0), x.device)
    cosine, sine = angles.cos().to(x.dtype), angles.sin().to(x.dtype)
    low, high = x.chunk(2, -1)
    return torch.cat([low * cosine - high * sine, low * sine + high * cosine], -1)


def _angles(length: int, count: int, step: float, first: int, device: torch.device | str | None) -> Tensor:
    """t BASE^(-i step), (length, count), in float64, for t is large where the wavelengths are short."""
    frequencies = torch.exp(-math.log(BASE) * step * torch.arange(count, dtype=torch.float64, device=device))
    return torch.arange(first, first + length, dtype=torch.float64, device=device)[:, None] * frequencies

"""Positions in a sequence: sines that are added to features, and rotations of queries and keys.

Both are functions of the absolute position; `first` is that of the first row, in a later part of a sequence: a whole
number, or a tensor (n,) of one for each sequence.
"""

import math
from typing import NamedTuple, TypeAlias

import torch
from jaxtyping import Float, Int
from torch import Tensor

from jensen.core.checks import check_count, check_floating, check_tensor

BASE = 10_000.0  # the longest wavelength over 2 pi
First: TypeAlias = int | Int[Tensor, " n"]


class Rotation(NamedTuple):
    """Cosines and sines of t positions' angles, (t, e) each, those of a pair's second number beside the first's.

    With positions of each sequence's own they are (n, t, e).
    """

    cosine: Tensor
    sine: Tensor  # negative of the first number

    def turned(self, x: Float[Tensor, "... t e"]) -> Float[Tensor, "... t e"]:
        """Each pair (x_i, x_{i + e/2}) turned by its position's angle."""
        return x * self.cosine + x.roll(x.shape[-1] // 2, -1) * self.sine

    def part(self, first: int, length: int) -> "Rotation":
        """That of `length` positions from the first on."""
        return Rotation(self.cosine[first : first + length], self.sine[first : first + length])


def placed(x: Float[Tensor, "... t d"], first: First = 0) -> Float[Tensor, "... t d"]:
    """sin(t w_i) added to feature 2i and cos(t w_i) to 2i + 1, with w_i = BASE^(-2i / d) (Vaswani et al., 2017).

    Positions t are first, first + 1, ...; an odd last feature is given a sine.
    """
    check_floating("x", x, "... t d", "positions, then features")
    length, features = x.shape[-2:]
    angles = _angles(length, -(-features // 2), 2 / features, first, x.device)
    return x + torch.stack([angles.sin(), angles.cos()], -1).flatten(-2)[..., :features].to(x.dtype)


def rotated(x: Float[Tensor, "... t e"], first: First = 0) -> Float[Tensor, "... t e"]:
    """Each pair (x_i, x_{i + e/2}) turned by t BASE^(-2i / e), t = first, first + 1, ... (Su et al., 2021).

    Products of a rotated query and a rotated key depend on the distance of their positions alone. ValueError for an
    odd e.
    """
    check_floating("x", x, "... t e", "positions, then the features of one head")
    length, features = x.shape[-2:]
    return rotation(length, features, first, x).turned(x)


def rotation(length: int, features: int, first: First, like: Float[Tensor, "..."]) -> Rotation:
    """That of `rotated` in the type of `like`, for several tensors of as many positions and features."""
    check_floating("like", like)
    length, features = check_count("length", length, 0), check_count("features", features)
    if features % 2:
        raise ValueError(f"expected x (..., t, e) of an even e, got {features}: choose features / heads even")
    angles = _angles(length, features // 2, 2 / features, first, like.device)
    cosine, sine = angles.cos().to(like.dtype), angles.sin().to(like.dtype)
    return Rotation(torch.cat([cosine, cosine], -1), torch.cat([-sine, sine], -1))


def _angles(length: int, count: int, step: float, first: First, device: torch.device | str | None) -> Tensor:
    """t BASE^(-i step), (length, count) or (n, length, count), in float64: t is large where wavelengths are short."""
    frequencies = torch.exp(-math.log(BASE) * step * torch.arange(count, dtype=torch.float64, device=device))
    places = torch.arange(length, dtype=torch.float64, device=device)
    if isinstance(first, Tensor):
        check_tensor("first", first, "n", "one position for each sequence")
        places = first.double()[:, None] + places
    else:
        places = places + check_count("first", first, 0)
    return places[..., None] * frequencies

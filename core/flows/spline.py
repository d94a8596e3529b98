"""The rational-quadratic spline of each component (Durkan et al., 2019)."""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import accumulate, pairwise
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

from jensen.core.checks import check_count, check_number
from jensen.core.flows.transform import check_parameters

WIDTH, SLOPE = 1e-3, 1e-3  # the least of a bin, as a part of the whole, and the least slope at a knot


class Bin(NamedTuple):
    """One piece: from (x, y) to (x + width, y + height), with slope `start` at its left and `end` at its right.

    Of the pieces in `_pieces` the slopes are theta's own numbers, before `_slope`.
    """

    x: Tensor
    y: Tensor
    width: Tensor
    height: Tensor
    start: Tensor
    end: Tensor


@dataclass(frozen=True)
class RationalQuadratic:
    """A monotone rational-quadratic spline through bins + 1 knots of [-bound, bound], and the identity outside.

    theta = (widths, heights, slopes): bins, bins and bins - 1 numbers. The outer knots are (-bound, -bound) and (bound,
    bound) exactly, with slope 1, so that value and slope are continuous there.

    Parameters  3 bins - 1 for each component
    Reference   Durkan et al., 2019
    """

    bins: int = 8
    bound: float = 5.0

    def __post_init__(self) -> None:
        if check_count("bins", self.bins, 2) * WIDTH >= 1:
            raise ValueError(f"expected bins < {1 / WIDTH:.0f}, got {self.bins}: each is at least {WIDTH} of the whole")
        check_number("bound", self.bound, "(0, inf)")

    @property
    def parameters(self) -> int:
        return 3 * self.bins - 1

    def forward(
        self, theta: Float[Tensor, "... p d"], z: Float[Tensor, "... d"], /
    ) -> tuple[Float[Tensor, "... d"], Float[Tensor, "... d"]]:
        check_parameters(theta, self.parameters, z)
        x = z.clamp(-self.bound, self.bound)  # before `where`, whose unused side has gradients too
        at = _last([(x >= piece.x, piece) for piece in self._pieces(theta)])
        t = (x - at.x) / at.width
        slope = at.height / at.width
        rise = at.height * (slope * t * t + at.start * t * (1 - t)) / _denominator(at, slope, t)
        return self._outside(z, at.y + rise, _log_slope(at, slope, t))

    def inverse(
        self, theta: Float[Tensor, "... p d"], z: Float[Tensor, "... d"], /
    ) -> tuple[Float[Tensor, "... d"], Float[Tensor, "... d"]]:
        check_parameters(theta, self.parameters, z)
        y = z.clamp(-self.bound, self.bound)
        at = _last([(y >= piece.y, piece) for piece in self._pieces(theta)])
        slope, rise = at.height / at.width, y - at.y
        bend = rise * (at.start + at.end - 2 * slope)
        a, b, c = bend + at.height * (slope - at.start), at.height * at.start - bend, slope * rise
        root = torch.sqrt((b * b + 4 * a * c).clamp_min(torch.finfo(z.dtype).tiny))
        t = 2 * c / (b + root)
        return self._outside(z, at.x + at.width * t, -_log_slope(at, slope, t))

    def _outside(self, z: Tensor, moved: Tensor, log_slope: Tensor) -> tuple[Tensor, Tensor]:
        inside = z.abs() < self.bound
        return torch.where(inside, moved, z), torch.where(inside, log_slope, 0.0)

    def _pieces(self, theta: Tensor) -> Iterator[Bin]:
        widths, heights, slopes = theta.split([self.bins, self.bins, self.bins - 1], -2)
        outer = torch.zeros_like(theta[..., 0, :])  # a slope of 1
        at_knots = [outer, *slopes.unbind(-2), outer]
        for (x0, x1), (y0, y1), (start, end) in zip(
            pairwise(self._knots(widths)), pairwise(self._knots(heights)), pairwise(at_knots), strict=True
        ):
            yield Bin(x0, y0, x1 - x0, y1 - y0, start, end)

    def _knots(self, raw: Tensor) -> list[Tensor]:
        parts = WIDTH + (1 - WIDTH * self.bins) * torch.softmax(raw, -2)
        end = torch.full_like(raw[..., 0, :], self.bound)
        return [-end, *(self.bound * (2 * left - 1) for left in accumulate(parts.unbind(-2)[:-1])), end]


def _last(pieces: list[tuple[Tensor, Bin]]) -> Bin:
    """The last piece that begins at or before the value: a fold, which compiles to one loop without indices."""
    (_, found), *rest = pieces
    for begun, piece in rest:
        found = Bin(*(torch.where(begun, new, old) for new, old in zip(piece, found, strict=True)))
    return found._replace(start=_slope(found.start), end=_slope(found.end))  # of the two knots alone


def _slope(raw: Tensor) -> Tensor:
    """Above SLOPE, and 1 at 0."""
    return SLOPE + F.softplus(raw + math.log(math.expm1(1 - SLOPE)))


def _denominator(at: Bin, slope: Tensor, t: Tensor) -> Tensor:
    return slope + (at.start + at.end - 2 * slope) * t * (1 - t)


def _log_slope(at: Bin, slope: Tensor, t: Tensor) -> Tensor:
    rest = 1 - t
    numerator = at.end * t * t + 2 * slope * t * rest + at.start * rest * rest
    return 2 * torch.log(slope) + torch.log(numerator) - 2 * torch.log(_denominator(at, slope, t))

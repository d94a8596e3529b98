"""The rational-quadratic spline of each component (Durkan et al., 2019)."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

from jensen.core.checks import check_count, check_number
from jensen.core.flows.transform import check_parameters

WIDTH, SLOPE = 1e-3, 1e-3  # the least of a bin, as a part of the whole, and the least slope at a knot


class Bin(NamedTuple):
    """One piece: from (x, y) to (x + width, y + height), with slope `start` at its left and `end` at its right."""

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
    bound), with slope 1, so that value and slope are continuous there.

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
        at = self._bin(theta, x, across=True)
        t = (x - at.x) / at.width
        slope = at.height / at.width
        rise = at.height * (slope * t * t + at.start * t * (1 - t)) / _denominator(at, slope, t)
        return self._outside(z, at.y + rise, _log_slope(at, slope, t))

    def inverse(
        self, theta: Float[Tensor, "... p d"], z: Float[Tensor, "... d"], /
    ) -> tuple[Float[Tensor, "... d"], Float[Tensor, "... d"]]:
        check_parameters(theta, self.parameters, z)
        y = z.clamp(-self.bound, self.bound)
        at = self._bin(theta, y, across=False)
        slope, rise = at.height / at.width, y - at.y
        bend = rise * (at.start + at.end - 2 * slope)
        a, b, c = bend + at.height * (slope - at.start), at.height * at.start - bend, slope * rise
        root = torch.sqrt((b * b + 4 * a * c).clamp_min(torch.finfo(z.dtype).tiny))
        t = 2 * c / (b + root)
        return self._outside(z, at.x + at.width * t, -_log_slope(at, slope, t))

    def _outside(self, z: Tensor, moved: Tensor, log_slope: Tensor) -> tuple[Tensor, Tensor]:
        inside = z.abs() < self.bound
        return torch.where(inside, moved, z), torch.where(inside, log_slope, 0.0)

    def _bin(self, theta: Tensor, value: Tensor, across: bool) -> Bin:
        """The bin of an x, or of a y: sums and choices by whether the value is beyond each inner knot.

        Of the knots themselves, which have no gradient in a sum of the parts before them, only comparisons are left:
        what compiles is one loop without indices.
        """
        widths, heights, slopes = theta.split([self.bins, self.bins, self.bins - 1], -2)
        across_parts, up_parts = self._parts(widths), self._parts(heights)
        known = [part.detach() for part in (across_parts if across else up_parts)]
        beyond = [value >= self._place(left) for left in accumulate(known[:-1])]
        outer = torch.zeros_like(value)  # a slope of 1
        knots = [outer, *slopes.unbind(-2), outer]
        return Bin(
            self._place(_passed(across_parts, beyond)),
            self._place(_passed(up_parts, beyond)),
            2 * self.bound * _last(across_parts, beyond),
            2 * self.bound * _last(up_parts, beyond),
            _slope(_last(knots[:-1], beyond)),
            _slope(_last(knots[1:], beyond)),
        )

    def _parts(self, raw: Tensor) -> tuple[Tensor, ...]:
        """What each bin is of the whole."""
        return (WIDTH + (1 - WIDTH * self.bins) * torch.softmax(raw, -2)).unbind(-2)

    def _place(self, part: Tensor) -> Tensor:
        """Where so much of [-bound, bound] is to the left."""
        return self.bound * (2 * part - 1)


def _passed(parts: Sequence[Tensor], beyond: Sequence[Tensor]) -> Tensor:
    """The sum of the parts whose right end the value is beyond."""
    total = torch.zeros_like(parts[0])
    for part, over in zip(parts, beyond, strict=False):
        total = total + torch.where(over, part, 0.0)
    return total


def _last(each: Sequence[Tensor], beyond: Sequence[Tensor]) -> Tensor:
    """That of the value's own bin: the last whose left end it is beyond."""
    found, *rest = each
    for over, later in zip(beyond, rest, strict=True):
        found = torch.where(over, later, found)
    return found


def _slope(raw: Tensor) -> Tensor:
    """Above SLOPE, and 1 at 0."""
    return SLOPE + F.softplus(raw + math.log(math.expm1(1 - SLOPE)))


def _denominator(at: Bin, slope: Tensor, t: Tensor) -> Tensor:
    return slope + (at.start + at.end - 2 * slope) * t * (1 - t)


def _log_slope(at: Bin, slope: Tensor, t: Tensor) -> Tensor:
    rest = 1 - t
    numerator = at.end * t * t + 2 * slope * t * rest + at.start * rest * rest
    return 2 * torch.log(slope) + torch.log(numerator) - 2 * torch.log(_denominator(at, slope, t))

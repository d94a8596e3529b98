"""Bijections of each component by itself: real numbers, positive ones, and intervals."""

import math
from typing import NamedTuple

import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torch.nn import functional as F

from jensen.core.checks import check_floating
from jensen.core.numerics import at_least_float32


class Real(NamedTuple):
    """value = z: no constraint.

    Onto        R^d
    Log det     0
    """

    def forward(
        self, z: Float[Tensor, "... d"], context: Tensor | None = None, /
    ) -> tuple[Float[Tensor, "... d"], Float[Tensor, "..."]]:
        check_floating("z", z)
        return z, torch.zeros_like(z[..., 0])

    def inverse(
        self, value: Float[Tensor, "... d"], context: Tensor | None = None, /
    ) -> tuple[Float[Tensor, "... d"], Float[Tensor, "..."]]:
        check_floating("value", value)
        return self.forward(value)

    def contains(self, value: Float[Tensor, "... d"], /) -> Bool[Tensor, "..."]:
        check_floating("value", value)
        return value.isfinite().all(-1)


class Positive(NamedTuple):
    """value = e^z, between the type's least normal and largest numbers.

    Onto        value > 0
    Log det     sum_d z
    """

    def forward(
        self, z: Float[Tensor, "... d"], context: Tensor | None = None, /
    ) -> tuple[Float[Tensor, "... d"], Float[Tensor, "..."]]:
        check_floating("z", z)
        range_ = torch.finfo(z.dtype)
        within = z.clamp_max(math.log(range_.max) * (1 - range_.eps))  # e^z beyond is inf, and inf times 0 NaN
        return torch.exp(within).clamp_min(range_.tiny), z.sum(-1)

    def inverse(
        self, value: Float[Tensor, "... d"], context: Tensor | None = None, /
    ) -> tuple[Float[Tensor, "... d"], Float[Tensor, "..."]]:
        check_floating("value", value)
        z = torch.log(value)
        return z, -z.sum(-1)

    def contains(self, value: Float[Tensor, "... d"], /) -> Bool[Tensor, "..."]:
        check_floating("value", value)
        return (value > 0).all(-1)


class Above(NamedTuple):
    """value = low + e^z, above low by the type's least step at least.

    Onto        value > low, one for each component or for all, such as torch.tensor(1.0)
    Log det     sum_d z
    """

    low: Float[Tensor, "*d"]

    def forward(
        self, z: Float[Tensor, "... d"], context: Tensor | None = None, /
    ) -> tuple[Float[Tensor, "... d"], Float[Tensor, "..."]]:
        check_floating("z", z)
        most = torch.full_like(self.low, torch.finfo(z.dtype).max)
        return (self.low + torch.exp(z)).clamp(torch.nextafter(self.low, most), most), z.sum(-1)

    def inverse(
        self, value: Float[Tensor, "... d"], context: Tensor | None = None, /
    ) -> tuple[Float[Tensor, "... d"], Float[Tensor, "..."]]:
        check_floating("value", value)
        z = torch.log(value - self.low)
        return z, -z.sum(-1)

    def contains(self, value: Float[Tensor, "... d"], /) -> Bool[Tensor, "..."]:
        check_floating("value", value)
        return (value > self.low).all(-1)


class UnitInterval(NamedTuple):
    """value = sigmoid(z), at least the type's least normal number and at most 1 - epsilon / 2.

    Onto        0 < value < 1
    Log det     sum_d log sigmoid(z) + log sigmoid(-z)
    """

    def forward(
        self, z: Float[Tensor, "... d"], context: Tensor | None = None, /
    ) -> tuple[Float[Tensor, "... d"], Float[Tensor, "..."]]:
        check_floating("z", z)
        range_ = torch.finfo(z.dtype)
        return torch.sigmoid(z).clamp(range_.tiny, 1 - range_.eps / 2), _log_slope(z).sum(-1)

    def inverse(
        self, value: Float[Tensor, "... d"], context: Tensor | None = None, /
    ) -> tuple[Float[Tensor, "... d"], Float[Tensor, "..."]]:
        check_floating("value", value)
        z = torch.log(value) - torch.log1p(-value)
        return z, -_log_slope(z).sum(-1)

    def contains(self, value: Float[Tensor, "... d"], /) -> Bool[Tensor, "..."]:
        check_floating("value", value)
        return ((value > 0) & (value < 1)).all(-1)


class Interval(NamedTuple):
    """value = low + (high - low) sigmoid(z), strictly between the two.

    Onto        low < value < high, one pair for each component or for all, such as torch.tensor(-1.0)
    Log det     sum_d log(high - low) + log sigmoid(z) + log sigmoid(-z)
    """

    low: Float[Tensor, "*d"]
    high: Float[Tensor, "*d"]

    def forward(
        self, z: Float[Tensor, "... d"], context: Tensor | None = None, /
    ) -> tuple[Float[Tensor, "... d"], Float[Tensor, "..."]]:
        check_floating("z", z)
        low, width = self.low, self.high - self.low
        upper = z > 0  # from the nearer end, so that both ends keep their digits
        value = torch.where(upper, self.high - width * torch.sigmoid(-z), low + width * torch.sigmoid(z))
        least, most = torch.nextafter(self.low, self.high), torch.nextafter(self.high, self.low)
        return value.clamp(least, most), (_log_slope(z) + torch.log(width)).sum(-1)

    def inverse(
        self, value: Float[Tensor, "... d"], context: Tensor | None = None, /
    ) -> tuple[Float[Tensor, "... d"], Float[Tensor, "..."]]:
        check_floating("value", value)
        z = torch.log(value - self.low) - torch.log(self.high - value)
        return z, -(_log_slope(z) + torch.log(self.high - self.low)).sum(-1)

    def contains(self, value: Float[Tensor, "... d"], /) -> Bool[Tensor, "..."]:
        check_floating("value", value)
        return ((value > self.low) & (value < self.high)).all(-1)


def _log_slope(z: Tensor) -> Tensor:
    """log of the sigmoid's slope, in float32 at least."""
    z = at_least_float32(z)
    return F.logsigmoid(z) + F.logsigmoid(-z)

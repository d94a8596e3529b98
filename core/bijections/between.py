"""The bijection onto values between two ends, either of which may be infinite."""

from typing import NamedTuple

import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torch.nn import functional as F

from jensen.core.checks import check_floating
from jensen.core.numerics import at_least_float32


class Between(NamedTuple):
    """An `Interval` where both ends are finite, low + e^z or high - e^-z where one is, and z where none is.

    Onto        low < value < high, one pair for each component or for all
    Log det     sum_d log(high - low) + log sigmoid(z) + log sigmoid(-z), or z, -z or 0
    """

    low: Float[Tensor, "*d"]
    high: Float[Tensor, "*d"]

    def forward(
        self, z: Float[Tensor, "... d"], context: Tensor | None = None, /
    ) -> tuple[Float[Tensor, "... d"], Float[Tensor, "..."]]:
        check_floating("z", z)
        low, high, above, below = self._ends()
        both, width = above & below, high - low
        upper = both & (z > 0)  # from the nearer end, so that both ends keep their digits
        up, down = torch.exp(torch.where(above & ~below, z, 0.0)), torch.exp(torch.where(below & ~above, -z, 0.0))
        inner = torch.where(upper, high - width * torch.sigmoid(-z), low + width * torch.sigmoid(z))
        value = torch.where(both, inner, torch.where(above, low + up, torch.where(below, high - down, z)))
        least, most = torch.nextafter(self.low, self.high), torch.nextafter(self.high, self.low)
        return torch.minimum(torch.maximum(value, least), most), self._log_slope(z).sum(-1)

    def inverse(
        self, value: Float[Tensor, "... d"], context: Tensor | None = None, /
    ) -> tuple[Float[Tensor, "... d"], Float[Tensor, "..."]]:
        check_floating("value", value)
        low, high, above, below = self._ends()
        from_low = torch.where(above, torch.log(torch.where(above, value - low, 1.0)), 0.0)
        to_high = torch.where(below, torch.log(torch.where(below, high - value, 1.0)), 0.0)
        z = torch.where(above | below, from_low - to_high, value)
        return z, -self._log_slope(z).sum(-1)

    def contains(self, value: Float[Tensor, "... d"], /) -> Bool[Tensor, "..."]:
        check_floating("value", value)
        return ((value > self.low) & (value < self.high)).all(-1)

    def _ends(self) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Both ends, 0 where infinite, and whether each is finite."""
        above, below = self.low.isfinite(), self.high.isfinite()
        return torch.where(above, self.low, 0.0), torch.where(below, self.high, 0.0), above, below

    def _log_slope(self, z: Tensor) -> Tensor:
        """By component, in float32 at least."""
        low, high, above, below = self._ends()
        both, z = above & below, at_least_float32(z)
        inner = F.logsigmoid(z) + F.logsigmoid(-z) + torch.log(torch.where(both, high - low, 1.0))
        return torch.where(both, inner, torch.where(above, z, torch.where(below, -z, 0.0)))

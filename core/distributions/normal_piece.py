"""The standard normal between two ends, in the far tail too; in float64.

A piece above 0 is turned to the other side, so that high <= 0 or low <= 0 < high. Of the first kind all is relative to
its high end h: log Phi(x) = g(x) - x^2 / 2, g = `log_normal_cdf_rest`.
"""

import math
from typing import NamedTuple

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from jensen.core.numerics import log_normal_cdf_rest, normal_cdf

FAR = 1e15  # where ends are taken as infinite
STEPS = 9
FEW = 15.0  # standard deviations that hold all


class NormalPiece(NamedTuple):
    """Ends low < high with low <= 0, and whether the piece is turned: x stands for -x."""

    low: Float[Tensor, "*n d"]
    high: Float[Tensor, "*n d"]
    turned: Bool[Tensor, "*n d"]

    @classmethod
    def between(cls, low: Float[Tensor, "*n d"], high: Float[Tensor, "*n d"]) -> "NormalPiece":
        low, high = low.clamp(-FAR, FAR), high.clamp(-FAR, FAR)
        turned = low > 0
        return cls(torch.where(turned, -high, low), torch.where(turned, -low, high), turned)

    def log_density(self, x: Float[Tensor, "..."]) -> Float[Tensor, "..."]:
        x = torch.where(self.turned, -x, x)
        tail, high, _ = self._tail()
        beyond = -0.5 * (x - high) * (x + high) - log_normal_cdf_rest(high) - torch.log(-torch.expm1(self._drop()))
        return torch.where(tail, beyond, -0.5 * x.square() - torch.log(self._mass())) - 0.5 * math.log(2 * math.pi)

    def log_mass(self) -> Float[Tensor, "*n d"]:
        """log of Phi(high) - Phi(low)."""
        tail, high, _ = self._tail()
        beyond = log_normal_cdf_rest(high) - 0.5 * high.square() + torch.log(-torch.expm1(self._drop()))
        return torch.where(tail, beyond, torch.log(self._mass()))

    def effective(self) -> tuple[Float[Tensor, "*n d"], Float[Tensor, "*n d"]]:
        """Ends (low, high) between which all but e^-100 of the mass is, not turned."""
        low, high = torch.maximum(self.low, self.high.clamp_max(0) - FEW), self.high.clamp_max(FEW)
        return torch.where(self.turned, -high, low), torch.where(self.turned, -low, high)

    def cdf(self, x: Float[Tensor, "..."]) -> Float[Tensor, "..."]:
        """By the mass on either side of x, of which the smaller keeps its digits."""
        x = torch.where(self.turned, -x, x)
        tail, high, _ = self._tail()
        x_tail = torch.where(tail, torch.minimum(x, high), high)
        level = log_normal_cdf_rest(x_tail) - log_normal_cdf_rest(high) - 0.5 * (x_tail - high) * (x_tail + high)
        drop = self._drop()
        gap = level - drop
        near = gap < 1
        close = drop.exp() * torch.expm1(torch.where(near, gap, 0.0))
        rise = torch.where(near, close, level.exp() - drop.exp())
        below, above = rise / -torch.expm1(drop), torch.expm1(level) / torch.expm1(drop)
        mass, x_middle = self._mass(), torch.where(tail, 0.0, x)
        below = torch.where(tail, below, (normal_cdf(x_middle) - normal_cdf(self.low)) / mass)
        above = torch.where(tail, above, (normal_cdf(-x_middle) - normal_cdf(-self.high)) / mass)
        first, second = torch.where(self.turned, above, below), torch.where(self.turned, below, above)
        return torch.where(first < 0.5, first, 1 - second)

    def quantile(self, u: Float[Tensor, "..."]) -> Float[Tensor, "..."]:
        """The x of this cdf, differentiable in the ends: dx = ((1 - v) phi(low) dlow + v phi(high) dhigh) / phi(x)."""
        v = torch.where(self.turned, 1 - u, u)
        rest = 1 - v
        fixed = NormalPiece(self.low.detach(), self.high.detach(), self.turned)
        x = torch.minimum(torch.maximum(fixed._at(v, rest), fixed.low), fixed.high)
        of_low = rest * torch.exp(0.5 * (x - fixed.low) * (x + fixed.low))
        of_high = v * torch.exp((0.5 * (x - fixed.high) * (x + fixed.high)).clamp_max(600))
        x = x + of_low * (self.low - fixed.low) + of_high * (self.high - fixed.high)
        return torch.where(self.turned, -x, x)

    def mean(self) -> Float[Tensor, "*n d"]:
        tail, high, _ = self._tail()
        drop, change = self._drop(), self._change()
        beyond = -_mills(high) * torch.expm1(change) / torch.expm1(drop)
        middle = (_phi(self.low) - _phi(self.high)) / self._mass()
        x = torch.where(tail, beyond, middle)
        return torch.where(self.turned, -x, x)

    def entropy(self) -> Float[Tensor, "*n d"]:
        """(1 + log 2 pi) / 2 + log mass + (low phi(low) - high phi(high)) / (2 mass)."""
        tail, high, low = self._tail()
        drop, change = self._drop(), self._change()
        far = 0.5 * _mills(high) * (low * change.exp() - high) / -torch.expm1(drop)
        beyond = log_normal_cdf_rest(high) - 0.5 * high.square() + torch.log(-torch.expm1(drop)) + far
        mass = self._mass()
        middle = torch.log(mass) + 0.5 * (self.low * _phi(self.low) - self.high * _phi(self.high)) / mass
        return torch.where(tail, beyond, middle) + 0.5 * (1 + math.log(2 * math.pi))

    def _at(self, v: Tensor, rest: Tensor) -> Tensor:
        """In the tail by Newton's steps on log Phi from its tangent at the high end, else by the smaller tail."""
        tail, high, _ = self._tail()
        mass = self._mass()
        below, above = normal_cdf(self.low) + v * mass, normal_cdf(-self.high) + rest * mass
        middle = torch.where(below < above, torch.special.ndtri(below), -torch.special.ndtri(above))
        target = torch.log(v + rest * self._drop().exp())
        off = -target / _mills(high)
        for _ in range(STEPS):
            level = log_normal_cdf_rest(high - off) - log_normal_cdf_rest(high) + high * off - 0.5 * off.square()
            off = off + (level - target) / _mills(high - off)
        return torch.where(tail, high - off, middle)

    def _tail(self) -> tuple[Tensor, Tensor, Tensor]:
        """Whether all of the piece is below 0, and its ends there, -1 and -2 elsewhere."""
        tail = self.high <= 0
        return tail, torch.where(tail, self.high, -1.0), torch.where(tail, self.low, -2.0)

    def _drop(self) -> Tensor:
        """log Phi(low) - log Phi(high) < 0 in the tail."""
        _, high, low = self._tail()
        return log_normal_cdf_rest(low) - log_normal_cdf_rest(high) + self._change()

    def _change(self) -> Tensor:
        """(high^2 - low^2) / 2 in the tail."""
        _, high, low = self._tail()
        return 0.5 * (high - low) * (high + low)

    def _mass(self) -> Tensor:
        """Phi(high) - Phi(low) for low <= 0 < high, else that of -1 and 1."""
        middle = self.high > 0
        low, high = torch.where(middle, self.low, -1.0), torch.where(middle, self.high, 1.0)
        return 0.5 * (torch.erf(high / math.sqrt(2)) - torch.erf(low / math.sqrt(2)))


def _mills(x: Tensor) -> Tensor:
    """phi(x) / Phi(x) for x <= 0."""
    return torch.exp(-log_normal_cdf_rest(x)) / math.sqrt(2 * math.pi)


def _phi(x: Tensor) -> Tensor:
    return torch.exp(-0.5 * x.square()) / math.sqrt(2 * math.pi)

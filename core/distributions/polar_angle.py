"""The angle t between a von Mises-Fisher vector and its mean: the density proportional to e^(k cos t) sin(t)^(d - 2).

In float64, by Gauss and Legendre's rule on panels that hold all but e^-45 of the highest density: positive terms, so
that no digits cancel, whatever the concentration k and the dimension d.
"""

import math
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from jensen.core.numerics import bisect, exp_less_tangent
from jensen.core.trees import Static

NODES = (0.1834346424956498, 0.525532409916329, 0.7966664774136267, 0.9602898564975363)  # of eight, on [-1, 1]
WEIGHTS = (0.362683783378362, 0.31370664587788727, 0.22238103445337448, 0.10122853629037626)
PANELS = 24
DROP = 45.0
HALVINGS = 14  # for the outermost panels' ends
STEPS = 6
MOST = 100.0  # of a step in the logarithm


class PolarAngle(NamedTuple):
    """Of concentration k > 0 in d dimensions; the panels' ends are constants to derivatives."""

    concentration: Float[Tensor, "*n"]
    low: Float[Tensor, "*n"]
    high: Float[Tensor, "*n"]
    d: Static[int]

    @classmethod
    def of(cls, concentration: Float[Tensor, "*n"], d: int) -> "PolarAngle":
        k = concentration.detach()
        mode = _mode(k, d)
        most = _log_density(mode, k, d)

        def outside(t: Tensor) -> Tensor:
            return _log_density(t, k, d) < most - DROP

        low, _ = bisect(outside, torch.zeros_like(mode), mode, HALVINGS)
        _, high = bisect(lambda t: ~outside(t), mode, torch.full_like(mode, math.pi), HALVINGS)
        return cls(concentration, low, high, Static(d))

    def log_normaliser(self) -> Float[Tensor, "*n"]:
        """log of the integral over t of e^(k (cos t - 1)) sin(t)^(d - 2); differentiable."""
        log_mass, _ = self._panels()
        return torch.logsumexp(log_mass.flatten(-2), -1)

    def versine(self) -> Float[Tensor, "*n"]:
        """The mean of 1 - cos t; differentiable."""
        shares, t = self._shares()
        return (shares * _versine(t)).sum((-2, -1))

    def log_mean_exp(self, change: Float[Tensor, "*n"]) -> Float[Tensor, "*n"]:
        """log E e^(c (cos t - E cos t)), at least 0, with all digits for a change c that is small beside k."""
        shares, t = self._shares()
        off = (shares * _versine(t)).sum((-2, -1), keepdim=True) - _versine(t)
        return torch.log1p((shares * exp_less_tangent(change[..., None, None] * off)).sum((-2, -1)))

    def quantile(self, u: Float[Tensor, "s *n"]) -> Float[Tensor, "s *n"]:
        """The t with P(t' <= t) = u in (0, 1), differentiable in k, implicitly: a constant to second derivatives.

        By Newton's steps within its panel, on the log of the smaller tail as a function of the log of the distance to
        0 or pi, which is nearly linear there.
        """
        fixed, d = self._replace(concentration=self.concentration.detach()), self.d.value
        k, u = fixed.concentration, u.detach()
        shares, t = fixed._shares()
        below, above = _cumulative(shares.sum(-1)), _cumulative(shares.sum(-1).flip(-1)).flip(-1)
        log_scale = fixed.log_normaliser()
        panel = (u[..., None] >= below[..., 1:-1]).sum(-1)
        start, past, width = _at(below, panel), _at(above, panel + 1), (self.high - self.low) / PANELS
        left = self.low + width * panel
        right = left + width
        lower = u < 0.5
        target = torch.where(lower, torch.log(u), torch.log1p(-u))
        share = (u - start) / (_at(below, panel + 1) - start).clamp_min(1e-300)
        found = left + width * share.clamp(0, 1)
        for _ in range(STEPS):
            one, other = torch.where(lower, left, found), torch.where(lower, found, right)
            tail = torch.where(lower, start, past) + _integral(one, other, k, d, log_scale)
            tail = tail.clamp_min(1e-300)
            room = torch.where(lower, found, math.pi - found)
            slope = torch.exp(_log_density(found, k, d) - log_scale) / tail * room
            room = room * torch.exp(((target - torch.log(tail)) / slope).clamp(-MOST, MOST))
            found = torch.where(lower, room, math.pi - room)
            found = torch.minimum(torch.maximum(found, left), right)
        mean = (shares * _versine(t)).sum((-2, -1))
        before = _at(_cumulative((shares * (mean[..., None, None] - _versine(t))).sum(-1)), panel)
        inner = _integral(left, found, k, d, log_scale, mean)
        slope = -(before + inner) * torch.exp(log_scale - _log_density(found, k, d))
        return found + slope * (self.concentration - k)

    def _panels(self) -> tuple[Tensor, Tensor]:
        """log of each node's mass e^(k (cos t - 1)) sin(t)^(d - 2) dt, and t, (*n, panels, 8)."""
        width = (self.high - self.low)[..., None, None] / PANELS
        index = torch.arange(PANELS, dtype=width.dtype, device=width.device)[:, None]
        nodes, weights = _rule(width)
        t = self.low[..., None, None] + width * (index + nodes)
        k = self.concentration[..., None, None]
        return _log_density(t, k, self.d.value) + torch.log(weights * width), t

    def _shares(self) -> tuple[Tensor, Tensor]:
        """Each node's share of the mass, and t, (*n, panels, 8)."""
        log_mass, t = self._panels()
        return torch.softmax(log_mass.flatten(-2), -1).reshape(log_mass.shape), t


def log_uniform(d: int) -> float:
    """log of the surface of the sphere in d - 1 dimensions, which all vectors of one angle have in common."""
    return math.log(2) + 0.5 * (d - 1) * math.log(math.pi) - math.lgamma(0.5 * (d - 1))


def _log_density(t: Tensor, k: Tensor, d: int) -> Tensor:
    """k (cos t - 1) + (d - 2) log sin t."""
    main = -k * _versine(t)
    return main if d == 2 else main + (d - 2) * torch.log(torch.sin(t))


def _versine(t: Tensor) -> Tensor:
    """1 - cos t, with all digits of small ones."""
    return 2 * torch.sin(0.5 * t).square()


def _mode(k: Tensor, d: int) -> Tensor:
    """Where k sin(t)^2 = (d - 2) cos t."""
    root = torch.sqrt((d - 2) ** 2 + 4 * k.square())
    cosine = 2 * k / (d - 2 + root)
    return torch.atan2(torch.sqrt(2 * (d - 2) / (d - 2 + root)), cosine)


def _integral(left: Tensor, right: Tensor, k: Tensor, d: int, log_scale: Tensor, mean: Tensor | None = None) -> Tensor:
    """Of the density over part of a panel, or of its product with cos t less its mean; mean is that of 1 - cos t."""
    nodes, weights = _rule(left)
    width = (right - left)[..., None]
    t = left[..., None] + width * nodes
    density = torch.exp(_log_density(t, k[..., None], d) - log_scale[..., None])
    part = density if mean is None else density * (mean[..., None] - _versine(t))
    return (part * weights * width).sum(-1)


def _rule(like: Tensor) -> tuple[Tensor, Tensor]:
    """Nodes and weights on [0, 1]."""
    nodes, weights = (torch.tensor(half, dtype=like.dtype, device=like.device) for half in (NODES, WEIGHTS))
    return 0.5 + 0.5 * torch.cat([-nodes.flip(0), nodes]), 0.5 * torch.cat([weights.flip(0), weights])


def _cumulative(masses: Tensor) -> Tensor:
    """0 and the sums of the first, the first two, …: one more than there are."""
    return torch.nn.functional.pad(masses.cumsum(-1), (1, 0))


def _at(levels: Tensor, panel: Tensor) -> Tensor:
    """The level of each sample's panel."""
    return levels.expand(*panel.shape, -1).gather(-1, panel[..., None])[..., 0]

"""A posterior on a grid, as a value: moments, draws of the density between points, and what the grid leaves out."""

from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from jensen.core import keys
from jensen.core.checks import check_count, check_key
from jensen.core.contracts import Key
from jensen.estimators.inference._box import Box

EDGE = 1e-8  # of the mass at a side's points, above which a box is too narrow there
ACCURATE = 0.01  # nats that half the points may differ by


class Grid(NamedTuple):
    """The posterior on a box: log p(x) in nats, how much half the points differ from it, and shares of the mass."""

    box: Box
    log_weights: Float[Tensor, "..."]  # (points,) or (points, points)
    log_p: Float[Tensor, ""]
    error: Float[Tensor, ""]
    edge: Float[Tensor, "d 2"]  # of the mass, at each axis' low and high side

    @property
    def z(self) -> Float[Tensor, "k d"]:
        """The points, whose shares are exp(log_weights.flatten())."""
        return self.box.z(len(self.log_weights))

    @property
    def mean(self) -> Float[Tensor, " d"]:
        return self.log_weights.flatten().exp() @ self.z.double()

    @property
    def covariance(self) -> Float[Tensor, "d d"]:
        apart = self.z.double() - self.mean
        return (self.log_weights.flatten().exp()[:, None] * apart).T @ apart

    def draws(self, key: Key, s: int) -> Float[Tensor, "s 1 d"]:
        """Independent draws of the density that is linear between points along each axis."""
        check_key(key)
        s = check_count("s", s)
        point_key, place_key = keys.split(key)
        share = self.log_weights.flatten().exp().cumsum(0)
        chosen = keys.uniform(point_key, (1, s), share.dtype)[0] * share[-1]
        place = torch.searchsorted(share, chosen, right=True).clamp_max(len(share) - 1)
        index = torch.stack(torch.unravel_index(place, self.log_weights.shape), -1).to(share)
        pair = keys.uniform(place_key, (2, s, index.shape[-1]), share.dtype)
        last = len(self.log_weights) - 1
        index = (index + pair[0] - pair[1]).abs()  # a hat around each point, half of it at an edge
        index = last - (last - index).abs()
        low, high = self.box.low, self.box.high
        return self.box.place(low + (high - low) * (index / last).to(low))[:, None]

    def verdict(self) -> str:
        """Whether the box holds the mass, and the grid resolves it."""
        reasons = []
        if (beyond := self.edge.max()) > EDGE:
            reasons.append(
                f"{beyond.item():.1g} of the mass is at the points of one edge: give wider bounds, unless the density "
                "ends there"
            )
        if not self.error <= ACCURATE:
            reasons.append(
                f"half the points give log p(x) {self.error.item():.2g} nats apart: take more points, or bounds nearer "
                "the mass"
            )
        return "; ".join(reasons) or f"log p(x) by the grid is known to {self.error.item():.1g} nats"

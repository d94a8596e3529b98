"""The density of an energy in the plane, whose normaliser is a sum over a grid."""

import math
from collections.abc import Callable

import torch
from torch import Tensor

SIDE, MARGIN = 400, 0.5  # points of the grid along each axis; what it has on each side of the data, in their ranges


def log_density(energy: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
    """-energy(x) - log Z at points x (n, 2), in nats, with Z over a rectangle around them."""
    low, high = x.amin(0), x.amax(0)
    margin = MARGIN * (high - low)
    axes = [torch.linspace(a, b, SIDE, dtype=x.dtype) for a, b in zip(low - margin, high + margin, strict=True)]
    every = torch.cartesian_prod(*axes).to(x)
    cell = sum(math.log((axis[1] - axis[0]).item()) for axis in axes)
    log_z = torch.cat([-energy(rows) for rows in every.split(SIDE * 50)]).double().logsumexp(0) + cell
    return -energy(x) - log_z.to(x.dtype)

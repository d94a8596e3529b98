"""The scalar map x + a tanh(r x + c) of planar and Sylvester flows, solved for x."""

import torch
from jaxtyping import Float
from torch import Tensor

from jensen.core.numerics import bisect

HALVINGS = 24  # leave 1e-7 |a|, from where Newton's steps converge to any type's precision
NEWTON = 3


def root(
    y: Float[Tensor, "..."], a: Float[Tensor, "..."], r: Float[Tensor, "..."], c: Float[Tensor, "..."]
) -> Float[Tensor, "..."]:
    """x with x + a tanh(r x + c) = y, where a r > -1: bisection, then Newton's steps, which carry the gradient.

    Each step doubles the digits, and the order of the derivatives that are those of the root.
    """
    y, a, r, c = torch.broadcast_tensors(y, a, r, c)
    low, high = bisect(lambda x: x + a * torch.tanh(r * x + c) < y, y - a.abs(), y + a.abs(), HALVINGS)
    x = ((low + high) / 2).detach()
    for _ in range(NEWTON):
        t = torch.tanh(r * x + c)
        x = x - (x + a * t - y) / (1 + a * r * (1 - t * t))
    return x

"""Outside the support: log_prob is -inf there, with no gradient in the value or in the fields.

A row is the event of one sample and datum. A row that holds NaN is never outside, so that NaN stays NaN.
"""

import math
from collections.abc import Callable

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from jensen.core.bijections.simplex import slack
from jensen.core.contracts import Bijection


def outside(z: Float[Tensor, "... d"], low: float, high: float = math.inf) -> Bool[Tensor, "..."]:
    """Whether a component is below low, above high, or infinite."""
    if z.shape[-1] == 0:
        return torch.zeros(z.shape[:-1], dtype=torch.bool, device=z.device)
    z, largest = z.detach(), torch.finfo(z.dtype).max
    return (z.amin(-1) < max(low, -largest)) | (z.amax(-1) > min(high, largest))  # extremes of NaN are NaN


def off_simplex(z: Float[Tensor, "... k"], least: float = 0.0) -> Bool[Tensor, "..."]:
    """Whether a component is below `least`, or the sum is not 1 by the rule of `bijections.Simplex.contains`."""
    return outside(z, least) | ((z.detach().double().sum(-1) - 1).abs() > slack(z.dtype))


def beyond(z: Float[Tensor, "..."], bijection: Bijection) -> Bool[Tensor, "..."]:
    """Whether the bijection's set does not contain the value."""
    inside = bijection.contains(z.detach())
    return ~inside & ~z.isnan().flatten(inside.ndim).any(-1)


def moved_inside(z: Float[Tensor, "..."], rows: Bool[Tensor, "..."], to: Tensor | float) -> Tensor:
    """z with `to` in place of these rows, where a formula and its derivatives are finite."""
    return torch.where(rows.reshape(*rows.shape, *[1] * (z.ndim - rows.ndim)), to, z)


def zero_density(log_p: Float[Tensor, "..."], rows: Bool[Tensor, "..."]) -> Float[Tensor, "..."]:
    """log_p, and -inf with no gradient in these rows; NaN stays."""
    return torch.where(rows & ~log_p.isnan(), -torch.inf, log_p)


def with_ends(cdf: Callable[[Tensor], Tensor], z: Float[Tensor, "... d"]) -> Float[Tensor, "... d"]:
    """cdf(z); at -inf 0 and at inf 1 with no gradient, as inf times a field's slope of 0 is NaN."""
    ends = z.isinf()
    below = cdf(torch.where(ends, 1.0, z))
    return torch.where(ends, (z > 0).to(below.dtype), below)


def some_value(z: Float[Tensor, "..."], bijection: Bijection) -> Float[Tensor, "..."]:
    """A value of the bijection's set for each row of z: that of 0."""
    free, _ = bijection.inverse(z.detach())
    return bijection.forward(torch.zeros_like(free))[0].detach()


def over_unit_interval(log_prob: Callable[[Tensor], Tensor], z: Float[Tensor, "... d"]) -> Float[Tensor, "..."]:
    """log_prob(z) where all of z is within [0, 1], but for an interpolation's rounding; -inf elsewhere."""
    rounding = slack(z.dtype)
    low, high = -rounding, 1 + rounding
    return zero_density(log_prob(z.clamp(low, high)), outside(z, low, high))

"""Sums and shares of exponentials, with gradients of 0 rather than NaN where every entry is -inf.

An exponential of at most `negligible` of the largest is 0, without a gradient. It would move a sum, or another entry's
share, by 2^-39 of a rounding error; but its gradient, a product of such numbers, reaches matrix products as denormal
numbers, each of which takes a CPU some hundred times as long as another.
"""

import math

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F


def log_sum_exp(t: Float[Tensor, "..."], axis: int) -> Float[Tensor, "..."]:
    """log sum exp(t) over one axis; -inf with a gradient of 0 where every entry is -inf."""
    gap, peak = _from_the_largest(t, axis)
    total = share(gap).sum(axis)
    empty = total == 0
    return torch.where(empty, -torch.inf, torch.log(torch.where(empty, 1.0, total)) + peak.squeeze(axis))


def log_add_exp(a: Float[Tensor, "..."], b: Float[Tensor, "..."]) -> Float[Tensor, "..."]:
    """log(e^a + e^b), which broadcast: the second derivative of torch.logaddexp is NaN where e^(a - b) is inf or 0."""
    return log_sum_exp(torch.stack(torch.broadcast_tensors(a, b)), 0)


def softplus(t: Float[Tensor, "..."]) -> Float[Tensor, "..."]:
    """log(1 + e^t) with all digits of both derivatives: torch's is t above 20, of a second derivative of 0."""
    above = t > 0
    return torch.where(above, t, 0.0) + F.softplus(torch.where(above, -t, t))


def log_cumulative_sum_exp(t: Float[Tensor, "k *rest"]) -> Float[Tensor, "k *rest"]:
    """log sum_{i <= k} exp(t_i) for every k, by doubling: the third derivative of torch.logcumsumexp is NaN."""
    below = t.detach() - t.detach().cummax(0).values  # what is negligible at its own k is so at all that follow
    t = torch.where(share(below) == 0, -torch.inf, t)
    reach = 1
    while reach < len(t):
        t = torch.cat([t[:reach], log_sum_exp(torch.stack([t[reach:], t[:-reach]]), 0)])
        reach *= 2
    return t


def softmax(t: Float[Tensor, "..."], axis: int) -> Float[Tensor, "..."]:
    """exp(t) / sum exp(t) over one axis; NaN where every entry is -inf."""
    return torch.softmax(_without_negligible(_from_the_largest(t, axis)[0]), axis)


def share(log_share: Float[Tensor, "..."]) -> Float[Tensor, "..."]:
    """exp(log_share), of a term of a sum near 1; 0 where it is `negligible`."""
    return torch.exp(_without_negligible(log_share))


def drop_negligible(shares: Float[Tensor, "..."]) -> Float[Tensor, "..."]:
    """Terms of a sum near 1, of either sign, with 0 in place of those that are `negligible`."""
    return F.hardshrink(shares, negligible(shares.dtype))


def negligible(dtype: torch.dtype) -> float:
    """The root of the least normal number: 2^-63, or 2^-511 in float64.

    Squares of larger numbers are normal, and so are their products with slopes down to it.
    """
    return math.sqrt(torch.finfo(torch.promote_types(dtype, torch.float32)).tiny)


def _from_the_largest(t: Tensor, axis: int) -> tuple[Tensor, Tensor]:
    """t less the largest of an axis, and that, or 0 where it is infinite."""
    peak = t.detach().amax(axis, keepdim=True)
    peak = torch.where(peak.abs() == torch.inf, 0.0, peak)
    return t - peak, peak


def _without_negligible(log_share: Tensor) -> Tensor:
    return F.threshold(log_share, math.log(negligible(log_share.dtype)), -math.inf)

"""First-order linear recurrences, in as many steps as the logarithm of their length."""

import torch
from jaxtyping import Float
from torch import Tensor


def linear_recurrence(u: Float[Tensor, "*s t"], factor: Float[Tensor, "*s"]) -> Float[Tensor, "*s t"]:
    """h_t = factor h_{t-1} + u_t with h_0 = u_0, by doubling: after i steps h_t sums the last 2^i terms.

    The recurrence itself would be t steps one after another (Kogge and Stone, 1973).
    """
    h, power, reach = u, factor[..., None], 1
    while reach < u.shape[-1]:
        h = torch.cat([h[..., :reach], h[..., reach:] + power * h[..., :-reach]], -1)
        power, reach = power.square(), 2 * reach
    return h

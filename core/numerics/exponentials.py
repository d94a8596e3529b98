"""Logarithms of sums of exponentials, with gradients of 0 rather than NaN where every entry is -inf."""

import torch
from jaxtyping import Float
from torch import Tensor


def log_sum_exp(t: Float[Tensor, "..."], axis: int) -> Float[Tensor, "..."]:
    """log sum exp(t) over one axis; -inf with a gradient of 0 where every entry is -inf."""
    peak = t.detach().amax(axis, keepdim=True)
    peak = torch.where(peak.abs() == torch.inf, 0.0, peak)
    total = torch.exp(t - peak).sum(axis)
    empty = total == 0
    return torch.where(empty, -torch.inf, torch.log(torch.where(empty, 1.0, total)) + peak.squeeze(axis))


def log_cumulative_sum_exp(t: Float[Tensor, "k *rest"]) -> Float[Tensor, "k *rest"]:
    """log sum_{i <= k} exp(t_i) for every k, by doubling: the third derivative of torch.logcumsumexp is NaN."""
    reach = 1
    while reach < len(t):
        t = torch.cat([t[:reach], log_sum_exp(torch.stack([t[reach:], t[:-reach]]), 0)])
        reach *= 2
    return t

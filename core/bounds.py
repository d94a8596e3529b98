"""Bounds on log p(x) as functions of log weights: log_w = log p(x, z) - log q(z | x), (s, n) -> (n,), in nats.

A log weight of -inf is legal: a particle outside the support of p. Where all of a datum's particles have it, the
bound is -inf and its gradient 0. NaN is never hidden.
"""

import math

import torch
from jaxtyping import Float
from torch import Tensor


def elbo(log_w: Float[Tensor, "s n"]) -> Float[Tensor, " n"]:
    """mean_s log_w, a lower bound for every s (Jordan et al., 1999)."""
    _check(log_w)
    return torch.where(log_w == -torch.inf, -torch.inf, log_w).mean(0)


def iwae(log_w: Float[Tensor, "s n"]) -> Float[Tensor, " n"]:
    """log mean_s exp(log_w), a lower bound that rises with s to log p(x) (Burda et al., 2016)."""
    _check(log_w)
    return log_sum_exp(log_w, 0) - math.log(log_w.shape[0])


def log_sum_exp(t: Float[Tensor, "..."], axis: int) -> Float[Tensor, "..."]:
    """log sum exp over one axis, with a gradient of 0 rather than NaN where every entry is -inf."""
    peak = t.detach().amax(axis, keepdim=True)
    peak = torch.where(peak.abs() == torch.inf, 0.0, peak)
    total = torch.exp(t - peak).sum(axis)
    empty = total == 0
    return torch.where(empty, -torch.inf, torch.log(torch.where(empty, 1.0, total)) + peak.squeeze(axis))


def free_bits(kl: Float[Tensor, "n d"], floor: float | Tensor) -> Float[Tensor, " n"]:
    """The KL per datum with each dimension's charge no lower than `floor` nats on average over the data.

    sum_d of kl[:, d] where mean_n kl[:, d] > floor, else floor: the mean over n is sum_d max(floor, mean_n kl)
    (Kingma et al., 2016, equation 15, groups of one dimension). A dimension under the floor has no gradient.
    """
    return torch.where(kl.mean(0) > floor, kl, torch.as_tensor(floor, dtype=kl.dtype, device=kl.device)).sum(-1)


def _check(log_w: Tensor) -> None:
    if log_w.ndim != 2 or log_w.shape[0] == 0:
        raise ValueError(
            f"expected log weights (s, n) with s >= 1, got {tuple(log_w.shape)}: "
            "samples come first, then data; add a missing axis with log_w[:, None] or log_w[None]"
        )

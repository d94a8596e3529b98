"""Bounds on log p(x) as functions of log weights: log_w = log p(x, z) - log q(z | x), (s, n) -> (n,), in nats.

A log weight of -inf is legal: a particle outside the support of p. Where all of a datum's particles have it, the
bound is -inf and its gradient 0. NaN is never hidden. Half precision is computed and returned in float32.
"""

import math

import torch
from jaxtyping import Float
from torch import Tensor

from jensen.core.ops.importance import log_sum_exp
from jensen.core.ops.log_scale import at_least_float32


def elbo(log_w: Float[Tensor, "s n"]) -> Float[Tensor, " n"]:
    """mean_s log_w, a lower bound for every s (Jordan et al., 1999)."""
    _check(log_w)
    return torch.where(log_w == -torch.inf, -torch.inf, at_least_float32(log_w)).mean(0)


def iwae(log_w: Float[Tensor, "s n"]) -> Float[Tensor, " n"]:
    """log mean_s exp(log_w), a lower bound that rises with s to log p(x) (Burda et al., 2016)."""
    _check(log_w)
    return log_sum_exp(at_least_float32(log_w), 0) - math.log(log_w.shape[0])


def free_bits(kl: Float[Tensor, "n d"], floor: float | Tensor) -> Float[Tensor, " n"]:
    """The KL per datum with each dimension's charge no lower than `floor` nats on average over the data.

    sum_d of kl[:, d] where mean_n kl[:, d] > floor, else floor: the mean over n is sum_d max(floor, mean_n kl)
    (Kingma et al., 2016, equation 15, groups of one dimension). A dimension under the floor has no gradient.
    """
    return torch.where(kl.mean(0) <= floor, floor, kl).sum(-1)


def _check(log_w: Tensor) -> None:
    if log_w.ndim != 2 or log_w.shape[0] == 0:
        raise ValueError(
            f"expected log weights (s, n) with s >= 1, got {tuple(log_w.shape)}: "
            "samples come first, then data; add a missing axis with log_w[:, None] or log_w[None]"
        )

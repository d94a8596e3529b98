"""The ELBO, IWAE and the family that joins them: power means of the weights."""

import math
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from jensen.core.ops.importance import log_sum_exp
from jensen.core.ops.log_scale import at_least_float32


def elbo(log_w: Float[Tensor, "s n"]) -> Float[Tensor, " n"]:
    """mean_s log_w, a lower bound for every s (Jordan et al., 1999)."""
    check_log_weights(log_w)
    return torch.where(log_w == -torch.inf, -torch.inf, at_least_float32(log_w)).mean(0)


def iwae(log_w: Float[Tensor, "s n"]) -> Float[Tensor, " n"]:
    """log mean_s exp(log_w), a lower bound that rises with s to log p(x) (Burda et al., 2016)."""
    check_log_weights(log_w)
    return log_sum_exp(at_least_float32(log_w), 0) - math.log(log_w.shape[0])


def leave_one_out_iwae(log_w: Float[Tensor, "s n"]) -> Float[Tensor, "s n"]:
    """`iwae` of the other samples, entry s without log_w_s, for s >= 2.

    With p_s = softmax_s(log_w) it is log sum exp(log_w) + log1p(-p_s) - log(s - 1): exact to rounding where p_s <= 1/2,
    which all samples but the heaviest have, whose others are summed by themselves. Cost: that of two bounds.
    """
    check_log_weights(log_w)
    s = len(log_w)
    if s < 2:
        raise ValueError("expected log weights (s, n) with s >= 2, got one sample: nothing is left without it")
    log_w = at_least_float32(log_w)
    heaviest = torch.arange(s, device=log_w.device)[:, None] == log_w.argmax(0)
    total = log_sum_exp(log_w, 0)
    finite = torch.isfinite(total)
    less = torch.where(finite & ~heaviest, log_w - torch.where(finite, total, 0.0), -torch.inf)
    others = torch.where(finite, total + torch.log1p(-torch.exp(less)), total)
    return torch.where(heaviest, log_sum_exp(torch.where(heaviest, -torch.inf, log_w), 0), others) - math.log(s - 1)


class Renyi(NamedTuple):
    """log mean_s exp((1 - alpha) log_w) / (1 - alpha), the variational Renyi bound (Li and Turner, 2016).

    alpha = 0 is `iwae`, alpha -> 1 is `elbo`, without loss of precision on the way, and alpha -> -inf is `vr_max`;
    it falls as alpha rises. For alpha >= 0 it is a lower bound in expectation at every s; for alpha < 0 it need not
    be: see `Cubo`. For alpha >= 1 one particle of no weight makes it -inf, with gradient 0 for alpha > 1. ValueError
    for an alpha that is not finite.
    """

    alpha: float

    def __call__(self, log_w: Float[Tensor, "s n"]) -> Float[Tensor, " n"]:
        if not math.isfinite(self.alpha):
            raise ValueError(
                f"expected a finite alpha, got {self.alpha}: the limit at -inf is vr_max, "
                "and at inf there is no estimate"
            )
        if self.alpha == 1:
            return elbo(log_w)
        return power_mean(log_w, 1 - self.alpha)


def vr_max(log_w: Float[Tensor, "s n"]) -> Float[Tensor, " n"]:
    """max_s log_w, the limit of `Renyi` at alpha -> -inf (Li and Turner, 2016).

    Its gradient is that of the heaviest particle alone, shared by those that tie. It lies between `iwae` and
    `iwae` + log s for the same weights, and its mean may be on either side of log p(x).
    """
    check_log_weights(log_w)
    top = at_least_float32(log_w).amax(0)
    return torch.where(top == -torch.inf, -torch.inf, top)


def power_mean(log_w: Float[Tensor, "s n"], power: float) -> Float[Tensor, " n"]:
    """log mean_s exp(power log_w) / power for a power other than 0, (n,).

    With peak the largest of power log_w, it is peak + log1p(mean_s expm1(power log_w - peak)) where the mean is near
    1: a power of 1e-6 then loses nothing.
    """
    check_log_weights(log_w)
    if power == 1:
        return iwae(log_w)
    log_w = at_least_float32(log_w)
    lost = log_w == -torch.inf
    dead = (lost.all(0) if power > 0 else lost.any(0)) & ~log_w.isnan().any(0)
    log_w = torch.where(dead, 0.0, log_w)
    held = log_w.detach()
    peak = held.amax(0) if power > 0 else held.amin(0)
    peak = torch.where(peak.abs() == torch.inf, 0.0, peak)
    scaled = power * (log_w - peak)
    less_one = torch.expm1(scaled).mean(0)
    near = less_one > -0.5
    log_mean = torch.where(
        near, torch.log1p(torch.where(near, less_one, 0.0)), log_sum_exp(scaled, 0) - math.log(len(log_w))
    )
    return torch.where(dead, -torch.inf, peak + log_mean / power)


def check_log_weights(log_w: Tensor) -> None:
    if log_w.ndim != 2 or log_w.shape[0] == 0:
        raise ValueError(
            f"expected log weights (s, n) with s >= 1, got {tuple(log_w.shape)}: "
            "samples come first, then data; add a missing axis with log_w[:, None] or log_w[None]"
        )
    if not log_w.is_floating_point():
        raise ValueError(f"expected log weights in floating point, got {log_w.dtype}: convert them with log_w.float()")

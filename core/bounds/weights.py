"""The variational Renyi family, the ELBO, IWAE and VR-max among it: logarithms of power means of the weights."""

import math
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from jensen.core.checks import check_floating, check_number
from jensen.core.numerics import at_least_float32, log_sum_exp, share, softmax


@dataclass(frozen=True)
class Renyi:
    """log mean_s exp((1 - alpha) log_w) / (1 - alpha), the variational Renyi bound; it falls as alpha rises.

    alpha = 0 is `iwae`, log mean_s w_s; alpha = 1 is its limit `elbo`, mean_s log_w, and precision is kept near it;
    alpha = -inf is its limit `vr_max`, max_s log_w. One particle outside the support makes it -inf for alpha >= 1, with
    gradient 0 for alpha > 1. ValueError for an alpha of nan or inf.

    Side        lower for alpha >= 0, in expectation at every s; for alpha < 0 either: see `Cubo`
    Tight when  q is the posterior; `iwae` as s -> infinity too
    Weights     w^(1 - alpha) / sum_s w^(1 - alpha), path coefficients alpha + (1 - alpha) u; those of `vr_max` are
                shared by the particles that tie for the largest
    Reference   Li and Turner, 2016; `elbo` Jordan et al., 1999; `iwae` Burda et al., 2016
    """

    alpha: float

    def __post_init__(self) -> None:
        meaning = "0 is IWAE, 1 the ELBO, -inf the largest weight, and at inf there is no estimate"
        alpha = check_number("alpha", self.alpha, "[-inf, inf)", meaning)
        object.__setattr__(self, "alpha", alpha + 0.0)  # -0 is 0

    @property
    def additive(self) -> bool:
        return self.alpha == 1

    def __call__(self, log_w: Float[Tensor, "s n"], /) -> Float[Tensor, " n"]:
        check_log_weights(log_w)
        if self.alpha == 1:
            return torch.where(log_w == -torch.inf, -torch.inf, at_least_float32(log_w)).mean(0)
        if self.alpha == -math.inf:
            top = at_least_float32(log_w).amax(0)
            return torch.where(top == -torch.inf, -torch.inf, top)
        return power_mean(log_w, 1 - self.alpha)

    def derivatives(self, log_w: Float[Tensor, "s n"], /) -> tuple[Float[Tensor, "s n"], Float[Tensor, "s n"]]:
        check_log_weights(log_w)
        log_w = at_least_float32(log_w)
        outside = log_w == -torch.inf
        if self.alpha == 1:
            return torch.where(outside, 0.0, torch.full_like(log_w, 1 / len(log_w))), torch.ones_like(log_w)
        if self.alpha == -math.inf:
            largest = ((log_w == log_w.amax(0)) & ~outside).to(log_w.dtype)
            return largest / largest.sum(0).clamp_min(1), torch.ones_like(log_w)
        power = 1 - self.alpha
        empty = outside.all(0) if power > 0 else outside.any(0)
        u = torch.where(empty, 0.0, softmax(torch.where(empty, 0.0, power * log_w), 0))
        return u, self.alpha + power * u


elbo = Renyi(1.0)
iwae = Renyi(0.0)
vr_max = Renyi(-math.inf)


def leave_one_out_iwae(log_w: Float[Tensor, "s n"]) -> Float[Tensor, "s n"]:
    """`iwae` of the other samples, entry s without log_w_s, for s >= 2.

    With p_s = softmax_s(log_w) it is log sum exp(log_w) + log1p(-p_s) - log(s - 1), exact to rounding where p_s <= 1/2:
    for every sample but the heaviest, where the others are summed directly. Cost: that of two bounds.
    """
    check_log_weights(log_w)
    s = len(log_w)
    if s < 2:
        raise ValueError("expected log_w (s, n) with s >= 2, got one sample: there are no others")
    log_w = at_least_float32(log_w)
    heaviest = torch.arange(s, device=log_w.device)[:, None] == log_w.argmax(0)
    total = log_sum_exp(log_w, 0)
    finite = torch.isfinite(total)
    less = torch.where(finite & ~heaviest, log_w - torch.where(finite, total, 0.0), -torch.inf)
    others = torch.where(finite, total + torch.log1p(-share(less)), total)
    return torch.where(heaviest, log_sum_exp(torch.where(heaviest, -torch.inf, log_w), 0), others) - math.log(s - 1)


def power_mean(log_w: Float[Tensor, "s n"], power: float) -> Float[Tensor, " n"]:
    """log mean_s exp(power log_w) / power for a power other than 0, (n,).

    With peak the largest of power log_w, it is peak + log1p(mean_s expm1(power log_w - peak)) where the mean is near
    1, which keeps the precision of a power such as 1e-6.
    """
    check_log_weights(log_w)
    log_w = at_least_float32(log_w)
    if power == 1:
        return log_sum_exp(log_w, 0) - math.log(len(log_w))
    outside = log_w == -torch.inf
    empty = (outside.all(0) if power > 0 else outside.any(0)) & ~log_w.isnan().any(0)
    log_w = torch.where(empty, 0.0, log_w)
    detached = log_w.detach()
    peak = detached.amax(0) if power > 0 else detached.amin(0)
    peak = torch.where(peak.abs() == torch.inf, 0.0, peak)
    scaled = power * (log_w - peak)
    less_one = torch.expm1(scaled).mean(0)
    near = less_one > -0.5
    log_mean = torch.where(
        near, torch.log1p(torch.where(near, less_one, 0.0)), log_sum_exp(scaled, 0) - math.log(len(log_w))
    )
    return torch.where(empty, -torch.inf, peak + log_mean / power)


def check_log_weights(log_w: Tensor, name: str = "log_w") -> None:
    """TypeError for log weights that are no floating-point tensor, ValueError for other shapes than (s, n), s >= 1."""
    if isinstance(log_w, Tensor) and log_w.ndim == 2 and log_w.shape[0] and log_w.is_floating_point():
        return
    fix = f"samples come first, then data; add a missing axis with {name}[:, None] or {name}[None]"
    check_floating(name, log_w, "s n", fix)
    raise ValueError(f"expected {name} (s, n) with s >= 1, got {tuple(log_w.shape)}: {fix}")

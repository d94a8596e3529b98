"""Generators f of f-divergences, D_f = E_q f(p / q), as functions of t = log(p / q).

Each is convex in u = e^t, and 0 with slope 0 at u = 1: of all f(u) + c (u - 1), which have one divergence, the one that
is never negative. All are accurate as t -> 0. t = -inf, p = 0, gives f(0); a value that overflows is inf, never NaN.
"""

import math
from collections.abc import Callable
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from jensen.core.numerics import exp_less_tangent, softplus


def reverse_kl(t: Float[Tensor, "..."]) -> Float[Tensor, "..."]:
    """u - 1 - log u: D_f = KL(q || p)."""
    return _capped(exp_less_tangent, t)


def forward_kl(t: Float[Tensor, "..."]) -> Float[Tensor, "..."]:
    """u log u - u + 1: D_f = KL(p || q)."""
    near = t.abs() < 0.5
    small = torch.where(near, t, 0.0)
    large = torch.where(near | (t == -torch.inf), 0.0, t)
    far = torch.where(t == -torch.inf, 1.0, torch.exp(large) * (large - 1) + 1)
    return torch.where(near, torch.exp(small) * exp_less_tangent(-small), far)


def chi2(t: Float[Tensor, "..."]) -> Float[Tensor, "..."]:
    """(u - 1)^2: D_f = E_q[(p / q)^2] - 1."""
    return torch.expm1(t).square()


def hellinger(t: Float[Tensor, "..."]) -> Float[Tensor, "..."]:
    """(sqrt(u) - 1)^2 / 2: D_f = 1 - sum sqrt(p q), the squared Hellinger distance, at most 1."""
    return 0.5 * torch.expm1(0.5 * t).square()


def jensen_shannon(t: Float[Tensor, "..."]) -> Float[Tensor, "..."]:
    """(u log(u / m) - log m) / 2 with m = (1 + u) / 2: D_f is the mean of KL(p || m) and KL(q || m), at most log 2."""
    return _capped(_jensen_shannon, t)


class Alpha(NamedTuple):
    """(u^alpha - 1 - alpha (u - 1)) / (alpha (alpha - 1)), of `divergences.alpha_divergence` (Cressie and Read, 1984).

    alpha -> 0 is `reverse_kl`, alpha -> 1 `forward_kl`, alpha = 2 half of `chi2`, alpha = 1/2 four times `hellinger`.
    """

    alpha: float

    def __call__(self, t: Float[Tensor, "..."]) -> Float[Tensor, "..."]:
        if self.alpha in (0, 1):
            return forward_kl(t) if self.alpha else reverse_kl(t)
        return _capped(self._below_overflow, t)

    def _below_overflow(self, t: Tensor) -> Tensor:
        alpha, beta = self.alpha, 1 - self.alpha
        near = t.abs() < 0.5
        small, large = torch.where(near, t, 0.0), torch.where(near, 0.0, t)
        if alpha <= 0.5:
            close = exp_less_tangent(small) - exp_less_tangent(alpha * small) / alpha
            far = torch.expm1(large) - torch.expm1(alpha * large) / alpha
            return torch.where(near, close, far) / beta
        # u times Alpha(beta) at 1 / u: beta is exact where alpha -> 1, and alpha - 1 no longer a difference
        close = torch.exp(small) * (exp_less_tangent(-small) - exp_less_tangent(-beta * small) / beta)
        power = torch.exp(min(alpha, 1) * large) * torch.expm1(abs(beta) * large) / abs(beta)
        return torch.where(near, close, power - torch.expm1(large)) / alpha


def swapped(f: Callable[[Tensor], Tensor]) -> Callable[[Tensor], Tensor]:
    """u f(1 / u) as a function of t: the f of D_f with q and p exchanged, as `forward_kl` is that of `reverse_kl`.

    Exact for every f here. For another it is e^t f(-t), for t in float64, and t < -700 counts as -700.
    """
    if isinstance(f, Alpha):
        return Alpha(1 - f.alpha)
    pairs = (
        (reverse_kl, forward_kl),
        (forward_kl, reverse_kl),
        (chi2, _reverse_chi2),
        (hellinger, hellinger),
        (jensen_shannon, jensen_shannon),
    )
    known = [other for one, other in pairs if one is f]
    return known[0] if known else lambda t: torch.exp(t.clamp_min(-700)) * f(-t.clamp_min(-700))


def _reverse_chi2(t: Tensor) -> Tensor:
    return 2 * Alpha(-1.0)(t)


def _jensen_shannon(t: Tensor) -> Tensor:
    large = t > 4
    far, some = torch.where(large, t, 4.0), torch.where(large, 0.0, t)
    near = some.abs() < 0.5
    log_m = torch.where(
        near, torch.log1p(0.5 * torch.expm1(torch.where(near, some, 0.0))), softplus(some) - math.log(2)
    )
    below = 0.5 * torch.exp(log_m) * (forward_kl(some - log_m) + forward_kl(-log_m))
    log_far = softplus(far) - math.log(2)
    return torch.where(large, 0.5 * (torch.exp(far) * (far - log_far) - log_far), below)


def _capped(f: Callable[[Tensor], Tensor], t: Tensor) -> Tensor:
    """f(t), and inf with no gradient where e^t overflows, as the terms of f would be inf - inf and its slope 0 inf."""
    overflows = torch.exp(t) == torch.inf
    return torch.where(overflows, torch.inf, f(torch.where(overflows, 0.0, t)))

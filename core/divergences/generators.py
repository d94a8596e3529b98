"""The functions f of f-divergences, D_f = E_q f(p / q), as functions of t = log(p / q).

Each is convex in u = e^t, and 0 with slope 0 at u = 1: f(u) and f(u) + c (u - 1) have the same divergence, and this
one of them is never negative, at any sample. All are accurate as t -> 0. t = -inf, p = 0, gives f(0).
"""

import math
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

from jensen.core.ops.normal_kl import exp_less_tangent


def reverse_kl(t: Float[Tensor, "..."]) -> Float[Tensor, "..."]:
    """u - 1 - log u: D_f = KL(q || p)."""
    return exp_less_tangent(t)


def forward_kl(t: Float[Tensor, "..."]) -> Float[Tensor, "..."]:
    """u log u - u + 1: D_f = KL(p || q)."""
    near = t.abs() < 0.5
    small = torch.where(near, t, 0.0)
    large = torch.where(near | (t == -torch.inf), 0.0, t)
    far = torch.where(t == -torch.inf, 1.0, large * torch.exp(large) - torch.expm1(large))
    return torch.where(near, torch.exp(small) * exp_less_tangent(-small), far)


def chi2(t: Float[Tensor, "..."]) -> Float[Tensor, "..."]:
    """(u - 1)^2: D_f = E_q[(p / q)^2] - 1."""
    return torch.expm1(t).square()


def hellinger(t: Float[Tensor, "..."]) -> Float[Tensor, "..."]:
    """(sqrt(u) - 1)^2 / 2: D_f = 1 - sum sqrt(p q), the squared Hellinger distance, at most 1."""
    return 0.5 * torch.expm1(0.5 * t).square()


def jensen_shannon(t: Float[Tensor, "..."]) -> Float[Tensor, "..."]:
    """(u log(u / m) - log m) / 2 with m = (1 + u) / 2: D_f is the mean of KL(p || m) and KL(q || m), at most log 2."""
    near = t.abs() < 0.5
    log_m = torch.where(near, torch.log1p(0.5 * torch.expm1(torch.where(near, t, 0.0))), F.softplus(t) - math.log(2))
    return 0.5 * torch.exp(log_m) * (forward_kl(t - log_m) + forward_kl(-log_m))


class Alpha(NamedTuple):
    """(u^alpha - 1 - alpha (u - 1)) / (alpha (alpha - 1)), of `divergences.alpha_divergence` (Cressie and Read, 1984).

    alpha -> 0 is `reverse_kl`, alpha -> 1 `forward_kl`, alpha = 2 half of `chi2`, alpha = 1/2 four times `hellinger`.
    """

    alpha: float

    def __call__(self, t: Float[Tensor, "..."]) -> Float[Tensor, "..."]:
        alpha = self.alpha
        if alpha in (0, 1):
            return forward_kl(t) if alpha else reverse_kl(t)
        near = t.abs() < 0.5
        small, large = torch.where(near, t, 0.0), torch.where(near, 0.0, t)
        close = exp_less_tangent(alpha * small) - alpha * exp_less_tangent(small)
        far = torch.expm1(alpha * large) - alpha * torch.expm1(large)
        return torch.where(near, close, far) / (alpha * (alpha - 1))

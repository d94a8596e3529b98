"""Log gamma functions less x log x - x, Stirling's main term, which cancels in densities, entropies and KLs.

In float64. All three are accurate from 1e-300 to 1e300, where differences of log gamma functions have no digits left.
"""

import math

import torch
from jaxtyping import Float
from torch import Tensor

from jensen.core.numerics.series import exp_less_tangent

FROM = 10.0  # where Stirling's series, of the terms below, is exact to rounding
STIRLING = (1 / 12, -1 / 360, 1 / 1260, -1 / 1680, 1 / 1188, -691 / 360360, 1 / 156)  # of x^-1, x^-3, ..., x^-13


def log_gamma_rest(x: Float[Tensor, "..."]) -> Float[Tensor, "..."]:
    """log Gamma(x) - (x log x - x), which is log(2 pi / x) / 2 + 1 / (12 x) - ... for large x."""
    small, large = _sides(x)
    series = 0.5 * torch.log(2 * math.pi / large) + _stirling(large)
    return torch.where(x < FROM, torch.lgamma(small) - small * (torch.log(small) - 1), series)


def digamma_rest(x: Float[Tensor, "..."]) -> Float[Tensor, "..."]:
    """digamma(x) - log x, the slope of `log_gamma_rest`."""
    small, large = _sides(x)
    y = 1 / large.square()
    series = sum((-(2 * k + 1) * c * y ** (k + 1) for k, c in enumerate(STIRLING)), -0.5 / large)
    return torch.where(x < FROM, torch.digamma(small) - torch.log(small), series)


def log_gamma_rest_divergence(
    p: Float[Tensor, "..."], q: Float[Tensor, "..."], gap: Float[Tensor, "..."] | None = None
) -> Float[Tensor, "..."]:
    """r(p) - r(q) - (p - q) r'(q) >= 0 for r = `log_gamma_rest`, a convex function: its Bregman divergence.

    For p near q by terms of which none is negative: with t = log(p / q) and E(t) = e^t - 1 - t, that of -log(x) / 2 is
    E(t) / 2, that of x^-m is q^-m (E(-m t) + m E(t)); and small arguments are moved up by log Gamma(x) =
    log Gamma(x + 1) - log x. gap is p - q, where more of it is known than p and q tell, as of sums.
    """
    gap = p - q if gap is None else gap
    near = gap.abs() < 0.5 * q
    far = log_gamma_rest(p) - log_gamma_rest(q) - gap * digamma_rest(q)
    return torch.where(near, _near(torch.where(near, gap, 0.0), torch.where(near, q, 1.0)), far)


def _near(gap: Tensor, q: Tensor) -> Tensor:
    small = q < FROM
    steps = torch.arange(FROM, dtype=q.dtype, device=q.device)
    t = torch.log1p(gap[..., None] / (q[..., None] + steps))
    above = torch.where(small, q + FROM, q)
    t_above = torch.log1p(gap / above)
    moved = exp_less_tangent(t).sum(-1) + above * _main(t_above) - q * _main(t[..., 0])
    powers = torch.arange(1.0, 2 * len(STIRLING), 2, dtype=q.dtype, device=q.device)
    terms = exp_less_tangent(-powers * t_above[..., None]) + powers * exp_less_tangent(t_above)[..., None]
    weights = torch.tensor(STIRLING, dtype=q.dtype, device=q.device) * above[..., None] ** -powers
    return 0.5 * exp_less_tangent(t_above) + (weights * terms).sum(-1) + torch.where(small, moved, 0.0)


def _main(t: Tensor) -> Tensor:
    """That of x log x - x over q."""
    return torch.exp(t) * exp_less_tangent(-t)


def _stirling(x: Tensor) -> Tensor:
    *rest, last = STIRLING
    y = x**-2
    total = last * y
    for c in reversed(rest[1:]):
        total = (c + total) * y
    return (rest[0] + total) / x


def _sides(x: Tensor) -> tuple[Tensor, Tensor]:
    """x where it is below and above the edge, and the edge elsewhere."""
    return x.clamp_max(FROM), x.clamp_min(FROM)

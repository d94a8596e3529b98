"""The standard gamma's distribution function, quantiles and moments, for the families that rest on it; in float64."""

import torch
from jaxtyping import Float
from torch import Tensor

from jensen.core.distributions.standard_gamma import log_standard_gamma
from jensen.core.numerics import double

STEPS = 12
WIDE = 200.0  # times the step of first differences, for second ones
LEAST = 1e-100  # below it tails underflow on the way


def standard_gamma_cdf(x: Float[Tensor, "..."], concentration: Float[Tensor, "..."]) -> Float[Tensor, "..."]:
    """P(a, x), 0 for x <= 0, differentiable twice in both; right to 2e-9 relatively, as torch's is for a > 20."""
    never, a = x <= 0, double(concentration)
    x = torch.where(never, 1.0, x)
    below = torch.special.gammainc(a.detach(), x.detach()) + _change(x, a)
    return torch.where(never, 0.0, below)


def standard_gamma_survival(x: Float[Tensor, "..."], concentration: Float[Tensor, "..."]) -> Float[Tensor, "..."]:
    """1 - P(a, x) of x >= 0, with all digits of small ones, differentiable twice in both."""
    a = double(concentration)
    return torch.special.gammaincc(a.detach(), x.detach()) - _change(x, a)


def standard_gamma_quantile(u: Float[Tensor, "..."], concentration: Float[Tensor, "..."]) -> Float[Tensor, "..."]:
    """The x with P(a, x) = u in [0, 1], differentiable in a by `log_standard_gamma`."""
    x = torch.exp(log_standard_gamma(u, concentration))
    return torch.where(u == 1, torch.inf, torch.where(u == 0, 0.0, x))


def standard_gamma_upper_quantile(u: Float[Tensor, "..."], concentration: Float[Tensor, "..."]) -> Float[Tensor, "..."]:
    """The x with 1 - P(a, x) = u in [0, 1], with all digits of the x of a small u >= 1e-100.

    By Newton's steps on the log of the upper tail, which is nearly linear in x, from the quantile at 1 - u.
    Differentiable in a.
    """
    a, u = double(concentration), u.detach()
    fixed, target = a.detach(), torch.log(u.clamp(LEAST, 0.5))
    lower = standard_gamma_quantile(1 - u, a)
    x = standard_gamma_quantile(1 - u.clamp(1e-15, 0.5), fixed)
    for _ in range(STEPS):
        tail = torch.special.gammaincc(fixed, x)
        x = x + (torch.log(tail) - target) * tail / _density(x, fixed)
    h = _step(fixed)
    slope = (torch.special.gammaincc(fixed + h, x) - torch.special.gammaincc(fixed - h, x)) / (2 * h)
    upper = x + slope / _density(x, fixed) * (a - fixed)
    return torch.where(u == 0, torch.inf, torch.where(u < 0.5, upper, lower))


def log_mgf_of_gamma(a: Float[Tensor, "..."], t: Float[Tensor, "..."]) -> Float[Tensor, "..."]:
    """-a log(1 - t), inf for t >= 1."""
    diverges = t >= 1
    return torch.where(diverges, torch.inf, -a * torch.log1p(-torch.where(diverges, 0.0, t)))


def _density(x: Tensor, a: Tensor) -> Tensor:
    return torch.exp((a - 1) * torch.log(x) - x - torch.lgamma(a))


def _change(x: Tensor, a: Tensor) -> Tensor:
    """0, with the first and second derivatives of P: in x by the density, which the midpoint rule integrates.

    In a by differences of the logarithm of the smaller tail, both to 2e-7 relatively.
    """
    known, fixed = x.detach(), a.detach()
    lower = torch.special.gammainc(fixed, known) < 0.5
    h = WIDE * _step(fixed)
    log_tails = []
    for k in range(-2, 3):
        tail, other = torch.special.gammainc(fixed + k * h, known), torch.special.gammaincc(fixed + k * h, known)
        log_tails.append(torch.log(torch.where(lower, tail, other).clamp_min(1e-300)))
    before, left, at, right, after = log_tails
    slope = (before - 8 * left + 8 * right - after) / (12 * h)
    bend = (-before + 16 * left - 30 * at + 16 * right - after) / (12 * h.square())
    off = a - fixed
    in_a = torch.where(lower, 1, -1) * at.exp() * (slope * off + 0.5 * (bend + slope.square()) * off.square())
    within = (known > 0) & known.isfinite()
    middle, step = torch.where(within, 0.5 * (x + known), 1.0), torch.where(within, x - known, 0.0)
    return in_a + _density(middle, a) * step


def _step(a: Tensor) -> Tensor:
    return 1e-4 * a / (1 + a.sqrt())

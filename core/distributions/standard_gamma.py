"""The standard gamma as a function of uniform noise, differentiable in its concentration; in float64 throughout.

Gamma, Beta and Dirichlet sample through it, in logarithms, since a sample at a small concentration may be e^-500.
"""

import torch
from jaxtyping import Float
from torch import Tensor

from jensen.core.distributions.uniform import inside
from jensen.core.numerics import double

_TINY = -40.0  # log z where z itself no longer changes log P(a, z) - a log z, in float64


def log_standard_gamma(u: Float[Tensor, "*s"], concentration: Float[Tensor, "*n"]) -> Float[Tensor, "..."]:
    """log z with P(a, z) = u for u in [0, 1): the quantile of Gamma(a = concentration, 1), in float64.

    P is the regularised lower incomplete gamma function, right to 2e-9 relatively, as torch's is for a > 20, else to
    rounding. The gradient in a is the implicit one, dz / da = -(dP / da) / (dP / dz) (Figurnov et al., 2018), with
    dP / da by central differences: relative error below 1e-5 for u within 1e-6 of neither end and a <= 1e6, and up to
    0.4 further out, where 1 - P has no digits left. It is a constant to second derivatives, which are therefore wrong;
    u has no gradient.
    """
    a = double(concentration)
    detached = a.detach()
    log_z = _log_quantile(inside(u.detach().double()), detached)
    return log_z + _slope(log_z, detached) * (a - detached)


def _log_quantile(u: Tensor, a: Tensor) -> Tensor:
    """Three of Halley's steps on the log of the smaller tail as a function of log z: from 0.2 off to 1e-8 in two."""
    log_z, lower = _start(u, a), u < 0.5
    side, target = torch.where(lower, 1.0, -1.0), torch.where(lower, u, 1 - u)
    for _ in range(3):
        below = _distribution(log_z, a)
        tail = torch.where(lower, below, 1 - below).clamp_min(1e-300)
        slope = side * _density(log_z, a) / tail
        step = -torch.log(tail / target) / slope
        bend = a - log_z.exp() - slope  # the second derivative over the first
        log_z = log_z + (step / (1 + 0.5 * step * bend).clamp(0.5, 2.0)).clamp(-1, 1)
    return log_z


def _start(u: Tensor, a: Tensor) -> Tensor:
    """Wilson and Hilferty's cubed normal for a > 1, a power and an exponential piece elsewhere; never too small.

    P(a, z) <= z^a / Gamma(a + 1) bounds the quantile from below (Press et al., 2007, Numerical Recipes, 6.2.1).
    """
    least = (torch.log(u) + torch.lgamma(a + 1)) / a
    cube = 1 - 1 / (9 * a) + torch.special.ndtri(u) / (3 * a.sqrt())
    cubed = torch.log(a) + 3 * torch.log(cube.clamp_min(1e-300))
    split = 1 - a * (0.253 + 0.12 * a)
    beyond = torch.log(1 + torch.log((1 - split) / (1 - u).clamp(max=1 - split)))
    small = torch.where(u < split, -torch.inf, beyond)
    return torch.maximum(least, torch.where(a > 1, cubed, small))


def _distribution(log_z: Tensor, a: Tensor) -> Tensor:
    """P(a, z); for tiny z, which may underflow where P does not, z^a / Gamma(a + 1)."""
    power = torch.exp(a * log_z - torch.lgamma(a + 1))
    return torch.where(log_z < _TINY, power, torch.special.gammainc(a, log_z.exp()))


def _density(log_z: Tensor, a: Tensor) -> Tensor:
    """The density of log z: dP / dlog z."""
    return torch.exp(a * log_z - log_z.exp() - torch.lgamma(a))


def _slope(log_z: Tensor, a: Tensor) -> Tensor:
    """dlog z / da at a constant P."""
    h = 1e-4 * a / (1 + a.sqrt())
    rise = _distribution(log_z, a + h) - _distribution(log_z, a - h)
    return -rise / (2 * h) / _density(log_z, a)

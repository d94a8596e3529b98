"""Means of exponentials that characteristic and moment generating functions rest on, by integrals over complex lines.

Each is log E e^(s z) of a complex s, through a saddle point of the integrand, so that large s do not oscillate. In
complex128; relative errors are near 1e-12.
"""

import math

import torch
from jaxtyping import Complex, Float
from torch import Tensor
from torch.nn import functional as F

from jensen.core.distributions.normal_piece import NormalPiece
from jensen.core.numerics.contour import log_line_integral

LAMBERT = 12  # Halley's steps
LEAST = -40.0  # below it log(1 + e^x) is e^x; log1p of complex subnormal numbers is NaN
FURTHEST = 600.0  # whose exponential does not overflow


def of_inverse_gamma(s: Complex[Tensor, "..."], a: Float[Tensor, "..."]) -> Complex[Tensor, "..."]:
    """log E e^(s / g) of a standard gamma g, s real and at most 0 or imaginary: of a Bessel function K_a.

    Over x = log g, by e^(a x - e^x + s e^-x), on the line through its saddle point, or further from the real one, as
    far as that costs no digits, since e^(s e^-x) oscillates there.
    """
    fixed = s.detach()
    saddle = 0.5 * (a + torch.sqrt(a.square() - 4 * fixed)).detach()

    def exponent(x: Tensor) -> Tensor:
        return a * x - torch.exp(x) + s * torch.exp(-x) - torch.lgamma(a)

    turn = torch.maximum(torch.angle(saddle).abs(), a.detach().rsqrt().clamp_max(0.25 * math.pi))
    centre = torch.complex(torch.log(saddle.abs()), -torch.sign(fixed.imag) * turn)
    width = 1 / torch.sqrt(1 + (saddle - fixed / saddle).abs())
    return log_line_integral(exponent, centre, width, (80 + 80 / a).clamp_max(FURTHEST))


def of_log_normal(s: Complex[Tensor, "..."], scale: Float[Tensor, "..."]) -> Complex[Tensor, "..."]:
    """log E e^(s e^y) of a normal y of mean 0, for an imaginary s.

    By e^(s e^y - (y / scale)^2 / 2), whose saddle point is -W(-s scale^2), with Lambert's function W; on the line
    through it, or further from the real one, as in `of_inverse_gamma`.
    """
    fixed, narrow = s.detach(), scale.detach()
    saddle = -_lambert(-fixed * narrow.square())

    def exponent(y: Tensor) -> Tensor:
        return s * torch.exp(y) - 0.5 * (y / scale).square() - torch.log(scale) - 0.5 * math.log(2 * math.pi)

    turn = torch.maximum(saddle.imag.abs(), narrow.clamp_max(0.25 * math.pi))
    centre = torch.complex(saddle.real, torch.sign(fixed.imag) * turn)
    width = narrow / torch.sqrt(1 + saddle.abs())
    return log_line_integral(exponent, centre, width, saddle.abs() + 12 * narrow)


def of_pareto(s: Complex[Tensor, "..."], a: Float[Tensor, "..."]) -> Complex[Tensor, "..."]:
    """log E e^(s y) of density a y^(-a - 1) on y > 1, for an imaginary s.

    Over x = log v, y = 1 + v (1 ± i) / 2^(1 / 2), of the sign of s, where e^(s y) falls.
    """
    turn = torch.where(s.detach().imag < 0, -0.25, 0.25) * math.pi
    turn = torch.polar(torch.ones_like(turn), turn)

    def exponent(x: Tensor) -> Tensor:
        v = turn * torch.exp(x)
        return s * (1 + v) - (a + 1) * torch.log1p(v) + torch.log(a * v)

    size = s.detach().abs()
    centre = -torch.log(1 + a.detach() + size)
    reach = 80 + torch.minimum(80 / a.detach(), (torch.log(200 / size.clamp_min(1e-80)) - centre).clamp_min(1.0))
    return log_line_integral(exponent, torch.complex(centre, 0 * centre), torch.ones_like(centre), reach)


def of_beta(s: Complex[Tensor, "..."], a: Float[Tensor, "..."], b: Float[Tensor, "..."]) -> Complex[Tensor, "..."]:
    """log E e^(s z) of a beta: log of Kummer's function 1F1(a; a + b; s), s real or imaginary.

    Over x = logit z, by z^a (1 - z)^b e^(s z), whose saddle points solve s z^2 + (a + b - s) z - a = 0.
    """
    fixed, total = s.detach(), (a + b).detach()
    root = torch.sqrt((total - fixed).square() + 4 * fixed * a.detach())
    z = 2 * a.detach() / (total - fixed + root)
    saddle = torch.log(z) - torch.log(1 - z)
    log_beta = torch.lgamma(a) + torch.lgamma(b) - torch.lgamma(a + b)

    def exponent(x: Tensor) -> Tensor:
        below, above = _log_sigmoid(x), _log_sigmoid(-x)
        return a * below + b * above + s * torch.exp(below) - log_beta

    width = 1 / torch.sqrt(1 + (total * z * (1 - z)).abs())
    return log_line_integral(exponent, saddle, width, 80 + 80 / torch.minimum(a, b).detach())


def of_normal_piece(s: Complex[Tensor, "..."], piece: NormalPiece) -> Complex[Tensor, "..."]:
    """log E e^(s x) of a standard normal x between two ends, for an imaginary s of some 50 at most.

    Over real numbers y, x = low + (high - low) sigmoid(y).
    """
    low, high = piece.effective()

    def exponent(y: Tensor) -> Tensor:
        y = y.real
        x = low + (high - low) * torch.sigmoid(y)
        slope = F.logsigmoid(y) + F.logsigmoid(-y) + torch.log(high - low)
        return s * x + (piece.log_density(x) + slope)

    centre = torch.zeros_like(s + low)
    return log_line_integral(exponent, centre, torch.ones_like(centre.real), 80 * torch.ones_like(centre.real))


def _log_sigmoid(x: Tensor) -> Tensor:
    """Of a complex x, by the side where the exponential is small."""
    below = x.real < 0
    small = torch.where(below, x, -x)
    tiny = small.real < LEAST
    rest = torch.where(tiny, torch.exp(small), torch.log1p(torch.exp(torch.where(tiny, LEAST, small))))
    return torch.where(below, x, 0.0) - rest


def _lambert(s: Tensor) -> Tensor:
    """The principal w with w e^w = s."""
    w = torch.log1p(s)
    for _ in range(LAMBERT):
        off = w - s * torch.exp(-w)
        w = w - off / (w + 1 - (w + 2) * off / (2 * w + 2))
    return w

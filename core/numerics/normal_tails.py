"""The standard normal's distribution function in its tails; torch's `ndtr` is 0 below -6 in float32.

The derivatives of torch's `log_ndtr` and `erfcx` are differences of nearly equal numbers: at -1e4 the second is off by
half. Here those of the logarithm come of its asymptotic series.
"""

import math

import torch
from jaxtyping import Float
from torch import Tensor

HALF_LOG_2PI = 0.5 * math.log(2 * math.pi)
FAR = -12.0  # from where on the series, of as many terms, is exact to rounding
TERMS = 14


def normal_cdf(x: Float[Tensor, "..."]) -> Float[Tensor, "..."]:
    """Phi(x) = erfc(-x / sqrt 2) / 2, with all digits of small values."""
    return 0.5 * torch.special.erfc(-x / math.sqrt(2))


def log_normal_cdf(x: Float[Tensor, "..."]) -> Float[Tensor, "..."]:
    """log Phi(x), with all digits of small values; differentiable twice."""
    below = x < 0
    tail, rest = torch.where(below, x, 0.0), normal_cdf(-torch.where(below, 0.0, x))
    return torch.where(below, log_normal_cdf_rest(tail) - 0.5 * tail.square(), torch.log1p(-rest))


def log_normal_cdf_rest(x: Float[Tensor, "..."]) -> Float[Tensor, "..."]:
    """log Phi(x) + x^2 / 2 of x <= 0: -log(-x sqrt(2 pi)) + log(1 - 1 / x^2 + 3 / x^4 - ...) in the far tail."""
    far = x < FAR
    near, beyond = torch.where(far, FAR, x), torch.where(far, x, FAR)
    y = 1 / beyond.square()
    series = torch.zeros_like(y)
    for k in range(TERMS, 0, -1):
        series = -(2 * k - 1) * y * (1 + series)
    tail = torch.log1p(series) - torch.log(-beyond) - 0.5 * math.log(2 * math.pi)
    return torch.where(far, tail, torch.log(0.5 * torch.special.erfcx(-near / math.sqrt(2))))

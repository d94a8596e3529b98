"""The log normaliser of exponential densities on [0, 1], A(a) = log((e^a - 1) / a): value, slope and divergence.

A(a) - a / 2 is even: near 0 a series in a^2. For a > 0 it is A(-a) + a, so that log |a| keeps its digits for a < 0.
"""

from collections.abc import Sequence

import torch
from jaxtyping import Complex, Float
from torch import Tensor

from jensen.core.numerics import at_least_float32, exp_less_tangent, log_ratio

SERIES = (  # of a^2, a^4, ...: B_2k / (2 k (2 k)!) with Bernoulli's numbers B_2k
    1 / 24,
    -1 / 2880,
    1 / 181440,
    -1 / 9676800,
    1 / 479001600,
    -691 / 15692092416000,
    1 / 1046139494400,
    -3617 / 170729965486080000,
    43867 / 91963695909076992000,
    -174611 / 16057153253965824000000,
)
NEAR = 7  # of its terms, right to rounding in [-1/2, 1/2]; all of them in [-1, 1]
EDGE = 80.0  # e^-80 is 0 beside 1


def log_normaliser(logits: Float[Tensor, "..."]) -> Float[Tensor, "..."]:
    """A(a), with A(0) = 0."""
    a = at_least_float32(logits)
    return torch.where(a > 0, a, 0.0) + log_normaliser_below(a)


def log_normaliser_below(a: Float[Tensor, "..."]) -> Float[Tensor, "..."]:
    """A(-|a|) = A(a) - max(a, 0), which is no larger than log |a|."""
    a = torch.where(a > 0, -a, a)  # not -|a|, whose slope at 0 is 0
    near = a > -0.5
    y = torch.where(near, a, 0.0).square()
    far = torch.where(near, -1.0, a)
    return torch.where(near, a / 2 + y * _polynomial(SERIES[:NEAR], y), torch.log(torch.expm1(far) / far))


def mean_exponential(s: Complex[Tensor, "..."]) -> Complex[Tensor, "..."]:
    """(e^s - 1) / s of a complex s: by the series of A for |s| < 1."""
    near = s.abs() < 1
    small = torch.where(near, s, 0.0)
    far = torch.where(near, 1.0, s)
    y = small.square()
    return torch.where(near, torch.exp(small / 2 + y * _polynomial(SERIES, y)), (torch.exp(far) - 1) / far)


def log_over_sine(x: Float[Tensor, "..."]) -> Float[Tensor, "..."]:
    """log(x / sin x) for |x| < pi: by the series of A, as x / sin x is i x / sinh(i x)."""
    near = x.abs() < 0.5
    y = -4 * torch.where(near, x, 0.0).square()
    far = torch.where(near, 1.0, x)
    return torch.where(near, -y * _polynomial(SERIES, y), torch.log(far / torch.sin(far)))


def log_normaliser_slope(logits: Float[Tensor, "..."]) -> Float[Tensor, "..."]:
    """A'(a) = 1 / (1 - e^-a) - 1 / a, the mean, with A'(0) = 1/2; by the series' derivative for |a| < 1/2."""
    a = at_least_float32(logits)
    near = a.abs() < 0.5
    small = torch.where(near, a, 0.0)
    y = small.square()
    series = small * _polynomial([2 * (k + 1) * c for k, c in enumerate(SERIES[:NEAR])], y)
    far = torch.where(near, 1.0, a).abs()
    rest = 1 / far + torch.exp(-far) / torch.expm1(-far)  # 1 / |a| - 1 / (e^|a| - 1): the mean for a < 0
    return torch.where(near, 0.5 + series, torch.where(a < 0, rest, 1 - rest))


def log_normaliser_divergence(p: Float[Tensor, "..."], q: Float[Tensor, "..."]) -> Float[Tensor, "..."]:
    """A(p) - A(q) - (p - q) A'(q) >= 0, A's Bregman divergence, with the signs of both turned where q > 0.

    Of both in [-1, 1], the series' own: that of a^2k is (p - q)^2 sum_j (j + 1) q^j p^(2 k - 2 - j). Of nearly equal
    ones E(t) - e E(p - q) - E(log(1 - e (e^(p - q) - 1))), with e = 1 / (e^|q| - 1), t = log(p / q) and E(t) = e^t - 1
    - t; beyond e^80, E(t).
    """
    turn = torch.where(q > 0, -1.0, 1.0)
    p, q = turn * p, turn * q
    gap, far = p - q, log_normaliser(p) - log_normaliser(q) - (p - q) * log_normaliser_slope(q)
    central = (p.abs() < 1) & (q.abs() < 1)
    beyond = (p < -EDGE) & (q < -EDGE)
    near = (gap.abs() < -0.5 * q) & ~central
    side = torch.where(near | beyond, q, -1.0)
    ratio = exp_less_tangent(log_ratio(-torch.where(near | beyond, p, -1.0), -side))
    inner = torch.where(near & ~beyond, gap, 0.0)
    share = 1 / torch.expm1(-torch.where(beyond, -1.0, side))
    drop = share * exp_less_tangent(inner) + exp_less_tangent(torch.log1p(-share * torch.expm1(inner)))
    close = torch.where(beyond, ratio, ratio - drop)
    both = _of_series(torch.where(central, p, 0.0), torch.where(central, q, 0.0))
    return torch.where(central, both, torch.where(near | beyond, close, far))


def _polynomial(coefficients: Sequence[float], y: Tensor) -> Tensor:
    *rest, last = coefficients
    total = torch.full_like(y, last)
    for c in reversed(rest):
        total = c + y * total
    return total


def _of_series(p: Tensor, q: Tensor) -> Tensor:
    total, inner, power = torch.zeros_like(p), torch.ones_like(p), q
    for k, c in enumerate(SERIES):
        total = total + c * inner
        for j in (2 * k + 2, 2 * k + 3):
            inner, power = p * inner + j * power, q * power
    return (p - q).square() * total

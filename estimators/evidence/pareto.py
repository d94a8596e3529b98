"""The generalised Pareto distribution of exceedances: its fit (Zhang and Stephens, 2009) and its quantiles.

Approximates  shape k and scale sigma of P(X > x) = (1 + k x / sigma)^(-1 / k) on x > 0
With          the quasi-Bayesian mean over a grid of theta = -k / sigma, weighted by the profile likelihood
Requires      five or more positive exceedances; a moment of order r exists where k < 1 / r
Unbiased when the number of exceedances grows; `k` has a prior at 1/2 of the weight of ten observations
Cost          a grid of 30 + sqrt(m) values of theta for each datum, in float64; data in chunks
Reference     Zhang and Stephens, 2009; the prior: Vehtari et al., 2024, appendix C
"""

import math

import torch
from jaxtyping import Float, Int
from torch import Tensor

from jensen.core.checks import check_floating

CHUNK = 2**17  # elements of grid x exceedances x data at once
LEAST = 5  # positive exceedances without which no tail is fitted
_TINY = 1e-300  # exceedances this far below the largest count as 0


def fit_pareto(
    x: Float[Tensor, "m n"], count: Int[Tensor, " n"] | None = None
) -> tuple[Float[Tensor, " n"], Float[Tensor, " n"]]:
    """(k, sigma), each (n,), of the exceedances x >= 0 in falling order, of which the first `count` are used.

    With b = -theta, the profile log likelihood is l(b) = m (log(b / k(b)) - k(b) - 1), k(b) = mean log(1 + b x).
    (inf, NaN) where fewer than five exceedances are positive, too few to fit.
    """
    check_floating("x", x, "m n", "in falling order, one column per datum")
    m, n = x.shape
    count = torch.full((n,), m, device=x.device) if count is None else count
    width = max(1, CHUNK // max(1, m * _points(m)))
    parts = [_fit(*part) for part in zip(x.double().split(width, 1), count.split(width), strict=True)]
    k, sigma = zip(*parts, strict=True)
    return torch.cat(k), torch.cat(sigma)


def pareto_quantile(p: Float[Tensor, "..."], k: Float[Tensor, "..."], sigma: Float[Tensor, "..."]) -> Tensor:
    """sigma ((1 - p)^-k - 1) / k, and -sigma log(1 - p) for k = 0."""
    for name, t in (("p", p), ("k", k), ("sigma", sigma)):
        check_floating(name, t)
    rate = -torch.log1p(-p)
    near = k.abs() < 1e-12
    return sigma * torch.where(near, rate, torch.expm1(k * rate) / torch.where(near, 1.0, k))


def _fit(x: Tensor, count: Tensor) -> tuple[Tensor, Tensor]:
    used = torch.arange(len(x), device=x.device)[:, None] < count
    largest = x[0].clamp_min(_TINY)
    x = torch.where(used, x / largest, 0.0)
    positive = (x > _TINY).sum(0)
    few = positive < LEAST
    quarter = (positive - torch.floor(positive / 4 + 0.5).long()).clamp(0, len(x) - 1)
    quartile = torch.where(few, 1.0, x.gather(0, quarter[None])[0])
    points = _points(len(x))
    j = torch.arange(1, points + 1, dtype=x.dtype, device=x.device)[:, None]
    b = -1 - (1 - torch.sqrt(points / (j - 0.5))) / (3 * quartile)  # the largest exceedance is now 1
    b = torch.where(b == 0, torch.finfo(x.dtype).eps, b)
    k = torch.log1p(b[:, None] * x).sum(1) / count.clamp_min(1)
    weights = torch.softmax(count * (torch.log(b / k) - k - 1), 0)
    mean = (weights * b).sum(0)
    mean = torch.where(mean == 0, torch.finfo(x.dtype).eps, mean)
    k = torch.log1p(mean * x).sum(0) / count.clamp_min(1)
    sigma = largest * k / mean
    k = (k * count + 0.5 * 10) / (count + 10)
    return torch.where(few, torch.inf, k), torch.where(few, torch.nan, sigma)


def _points(m: int) -> int:
    return 30 + math.isqrt(m)

"""Log densities of single numbers, which broadcast: what priors and likelihoods are sums of; and of correlations."""

import math

import torch
from torch import Tensor

from jensen.core.numerics import HALF_LOG_2PI, log_gamma_rest, softplus


def normal(x: Tensor, loc: Tensor | float = 0.0, scale: Tensor | float = 1.0) -> Tensor:
    return -0.5 * ((x - loc) / scale).square() - _log(scale) - HALF_LOG_2PI


def half_normal(x: Tensor, scale: Tensor | float = 1.0) -> Tensor:
    """Of x > 0."""
    return normal(x, 0.0, scale) + math.log(2)


def half_cauchy(x: Tensor, scale: Tensor | float = 1.0) -> Tensor:
    """Of x > 0."""
    return math.log(2 / math.pi) - _log(scale) - 2 * _log_hypotenuse(x / scale)


def student_t(x: Tensor, df: Tensor | float, loc: Tensor | float = 0.0, scale: Tensor | float = 1.0) -> Tensor:
    """The normaliser is without the main terms of log Gamma, which cancel for many degrees of freedom."""
    half = 0.5 * torch.as_tensor(df, dtype=x.dtype, device=x.device)
    rest = log_gamma_rest(half + 0.5) - log_gamma_rest(half) + half * torch.log1p(0.5 / half) - 0.5
    norm = rest + 0.5 * torch.log((half + 0.5) / (2 * math.pi * half))
    square = ((x - loc) / scale).square() / (2 * half)
    return norm - _log(scale) - (half + 0.5) * torch.log1p(square)


def exponential(x: Tensor, rate: float = 1.0) -> Tensor:
    """Of x > 0."""
    return math.log(rate) - rate * x


def gamma(x: Tensor, concentration: float, rate: float) -> Tensor:
    """Of x > 0."""
    norm = concentration * math.log(rate) - math.lgamma(concentration)
    return norm + (concentration - 1) * torch.log(x) - rate * x


def inverse_gamma(x: Tensor, concentration: float, scale: float) -> Tensor:
    """Of x > 0."""
    norm = concentration * math.log(scale) - math.lgamma(concentration)
    return norm - (concentration + 1) * torch.log(x) - scale / x


def beta(x: Tensor, a: float, b: float) -> Tensor:
    """Of 0 < x < 1."""
    norm = math.lgamma(a + b) - math.lgamma(a) - math.lgamma(b)
    return norm + (a - 1) * torch.log(x) + (b - 1) * torch.log1p(-x)


def lkj_cholesky(factor: Tensor, concentration: float) -> Tensor:
    """Of Cholesky factors (..., d, d) of correlation matrices of density det^(concentration - 1), for the whole factor.

    It is of the entries below the diagonal (Lewandowski et al., 2009); the normaliser is that of d - 1 columns of
    partial correlations, whose squares' remainders are betas.
    """
    d = factor.shape[-1]
    rows = torch.arange(1, d, device=factor.device, dtype=factor.dtype)
    powers = d - 1 - rows + 2 * concentration - 2
    halves = [concentration + (d - 1 - j) / 2 for j in range(1, d)]
    norm = sum((d - j) * _log_centred_beta(half) for j, half in enumerate(halves, 1))
    return (powers * factor.diagonal(dim1=-2, dim2=-1)[..., 1:].log()).sum(-1) - norm


def _log_centred_beta(half: float) -> float:
    """log of the integral of (1 - t^2)^(half - 1) over (-1, 1)."""
    return (2 * half - 1) * math.log(2) + 2 * math.lgamma(half) - math.lgamma(2 * half)


def bernoulli(x: Tensor, logits: Tensor) -> Tensor:
    """Of x 0 or 1."""
    return x.to(logits.dtype) * logits - softplus(logits)


def poisson(x: Tensor, rate: Tensor) -> Tensor:
    """Of whole numbers x >= 0."""
    x = x.to(rate.dtype)
    some = torch.where(x == 0, 1.0, rate)  # log 0 has a gradient of NaN, though 0 log 0 is 0
    return x * torch.log(some) - rate - torch.lgamma(x + 1)


def _log(scale: Tensor | float) -> Tensor | float:
    return torch.log(scale) if isinstance(scale, Tensor) else math.log(scale)


def _log_hypotenuse(x: Tensor) -> Tensor:
    """log sqrt(1 + x^2), of any size."""
    large = x.abs() > 1e8  # beside which 1 is nothing
    small = 0.5 * torch.log1p(torch.where(large, 0.0, x).square())
    return torch.where(large, torch.log(torch.where(large, x, 1.0).abs()), small)

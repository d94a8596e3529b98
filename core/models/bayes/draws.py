"""Draws of single numbers, of the densities of `densities`, in float64."""

import math

import torch
from torch import Tensor

from jensen.core import keys
from jensen.core.bijections import CorrelationCholesky
from jensen.core.contracts import Key
from jensen.core.distributions.standard_gamma import log_standard_gamma

LEAST = 2.0**-33  # for a uniform number of 0

Shape = tuple[int, ...]


def normal(key: Key, shape: Shape, loc: float = 0.0, scale: float = 1.0) -> Tensor:
    return loc + scale * keys.normal(key, shape, torch.float64)


def half_normal(key: Key, shape: Shape, scale: float = 1.0) -> Tensor:
    return normal(key, shape, 0.0, scale).abs()


def half_cauchy(key: Key, shape: Shape, scale: float = 1.0) -> Tensor:
    return scale * torch.tan(0.5 * math.pi * _uniform(key, shape))


def exponential(key: Key, shape: Shape, rate: float = 1.0) -> Tensor:
    return -torch.log1p(-_uniform(key, shape)) / rate


def gamma(key: Key, shape: Shape, concentration: float, rate: float) -> Tensor:
    return _log_gamma(key, shape, concentration).exp() / rate


def inverse_gamma(key: Key, shape: Shape, concentration: float, scale: float) -> Tensor:
    return scale * (-_log_gamma(key, shape, concentration)).exp()


def beta(key: Key, shape: Shape, a: float, b: float) -> Tensor:
    a_key, b_key = keys.split(key)
    return torch.sigmoid(_log_gamma(a_key, shape, a) - _log_gamma(b_key, shape, b))


def dirichlet(key: Key, shape: Shape, concentration: float) -> Tensor:
    """Shares of the last axis, with one concentration for all."""
    return torch.softmax(_log_gamma(key, shape, concentration), -1)


def lkj_cholesky(key: Key, shape: Shape, concentration: float) -> Tensor:
    """Cholesky factors (*cells, d, d) of correlation matrices of density det^(concentration - 1), by their vine."""
    *cells, d, _ = shape
    columns = []
    for j, own in enumerate(keys.split(key, d - 1), 1):
        half = concentration + (d - 1 - j) / 2
        columns.append(2 * beta(own, (*cells, d - j), half, half) - 1)
    partial = torch.zeros(*cells, d, d, dtype=torch.float64, device=key.device)
    for j, column in enumerate(columns):
        partial[..., j + 1 :, j] = column
    rows, below = torch.tril_indices(d, d, -1, device=key.device)
    return CorrelationCholesky().forward(torch.atanh(partial[..., rows, below]))[0]


def student_t(key: Key, shape: Shape, df: Tensor | float) -> Tensor:
    """A normal over the root of a gamma of mean 1."""
    normal_key, gamma_key = keys.split(key)
    half = 0.5 * torch.as_tensor(df, dtype=torch.float64, device=key.device)
    return normal(normal_key, shape) * torch.exp(0.5 * (half.log() - _log_gamma(gamma_key, shape, half)))


def bernoulli(key: Key, logits: Tensor) -> Tensor:
    """0 or 1, in the dtype of the logits and with their shape."""
    return (_uniform(key, tuple(logits.shape)) < torch.sigmoid(logits)).to(logits.dtype)


def _uniform(key: Key, shape: Shape) -> Tensor:
    return keys.uniform(key, shape, torch.float64).clamp_min(LEAST)


def _log_gamma(key: Key, shape: Shape, concentration: Tensor | float) -> Tensor:
    """The logarithm of a gamma of rate 1."""
    shape_of_gamma = torch.as_tensor(concentration, dtype=torch.float64, device=key.device)
    return log_standard_gamma(_uniform(key, shape), shape_of_gamma)

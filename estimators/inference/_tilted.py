"""Moments of a normal times the likelihood of one binary response: expectation propagation's tilted distributions."""

import math
from collections.abc import Callable
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor
from torch.func import grad
from torch.nn.functional import logsigmoid

from jensen.core.numerics import log_normal_cdf

HALF_WIDTH, POINTS = 8.0, 161  # of the rule, in standard deviations
RESOLVED = 10.0  # the standard deviation up to which as many points have the logistic link to 1e-8
MOST = 16  # times as many points at most


class Tilted(NamedTuple):
    """Of N(mean, variance) times the likelihood: the log integral, and cumulants of t = (a - mean) / sd."""

    log_mass: Float[Tensor, " n"]
    mean: Float[Tensor, " n"]
    variance: Float[Tensor, " n"]
    third: Float[Tensor, " n"]

    @property
    def skewness(self) -> Float[Tensor, " n"]:
        return self.third / self.variance**1.5


def logistic(mean: Float[Tensor, " n"], variance: Float[Tensor, " n"]) -> Tilted:
    """By the trapezoidal rule, of more points where standard deviations are above 10, up to 160."""
    sd = variance.sqrt()
    finer = math.ceil(min(max(sd.max().item() / RESOLVED, 1.0), MOST))
    t = torch.linspace(-HALF_WIDTH, HALF_WIDTH, finer * (POINTS - 1) + 1, dtype=mean.dtype, device=mean.device)
    log_w = logsigmoid(mean[:, None] + sd[:, None] * t) + torch.log_softmax(-0.5 * t.square(), 0)
    log_mass = log_w.logsumexp(1)
    share = (log_w - log_mass[:, None]).exp()
    first = share @ t
    apart = t - first[:, None]
    return Tilted(log_mass, first, (share * apart.square()).sum(1), (share * apart**3).sum(1))


def probit(mean: Float[Tensor, " n"], variance: Float[Tensor, " n"]) -> Tilted:
    """By derivatives of log Phi(r), r = mean / (1 + variance)^(1/2)."""
    r, share = mean / (1 + variance).sqrt(), variance / (1 + variance)
    first = _slope(log_normal_cdf)
    second = _slope(first)
    third = _slope(second)
    spread = 1 / (1 + variance) + share * (1 + second(r))
    return Tilted(log_normal_cdf(r), share.sqrt() * first(r), spread, share**1.5 * third(r))


def _slope(f: Callable[[Tensor], Tensor]) -> Callable[[Tensor], Tensor]:
    """Of a function of each element by itself."""
    return grad(lambda r: f(r).sum())


def log_integral(
    mean: Float[Tensor, " n"], variance: Float[Tensor, " n"], precision: Float[Tensor, " n"], shift: Float[Tensor, " n"]
) -> Float[Tensor, " n"]:
    """The log of the integral of N(a; mean, variance) exp(shift a - precision a^2 / 2) da."""
    natural = mean / variance + shift
    exponent = natural.square() / (1 / variance + precision) - mean.square() / variance
    return 0.5 * (exponent - torch.log1p(precision * variance))

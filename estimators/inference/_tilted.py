"""Moments of a normal times the likelihood of one binary response: expectation propagation's tilted distributions."""

import math
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import logsigmoid

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
    """By derivatives of log ndtr(r), in closed form."""
    r = mean / (1 + variance).sqrt()
    log_mass = torch.special.log_ndtr(r)
    slope = torch.exp(-0.5 * r.square() - 0.5 * math.log(2 * math.pi) - log_mass)
    share = variance / (1 + variance)
    third = slope * ((r + slope) * (r + 2 * slope) - 1)
    return Tilted(log_mass, share.sqrt() * slope, 1 - share * slope * (r + slope), share**1.5 * third)


def log_integral(
    mean: Float[Tensor, " n"], variance: Float[Tensor, " n"], precision: Float[Tensor, " n"], shift: Float[Tensor, " n"]
) -> Float[Tensor, " n"]:
    """The log of the integral of N(a; mean, variance) exp(shift a - precision a^2 / 2) da."""
    natural = mean / variance + shift
    exponent = natural.square() / (1 / variance + precision) - mean.square() / variance
    return 0.5 * (exponent - torch.log1p(precision * variance))

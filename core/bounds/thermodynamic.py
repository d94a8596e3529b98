"""The thermodynamic variational objective (Masrani et al., 2019): log p(x) as an integral, and its Riemann sums.

log p(x) is the integral over beta in [0, 1] of g(beta) = E[log w] under pi_beta, proportional to q(z | x) w^beta: q at
beta = 0, the posterior at beta = 1. g rises with beta, so a left sum is below the integral and a right sum above it.
"""

from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor

from jensen.core.bounds.derivatives import differentiated
from jensen.core.bounds.weights import check_log_weights, elbo
from jensen.core.checks import check_choice, check_count, check_number, described
from jensen.core.numerics import at_least_float32, softmax


@dataclass(frozen=True)
class Tvo:
    """sum_k (beta_{k+1} - beta_k) g(beta), g at the left or the right end of each interval.

    g(beta) = sum_s pi_s log_w_s with the self-normalised weights pi_s = w_s^beta / sum_t w_t^beta. The integral of this
    g is `iwae` of the same weights, so for every set of weights left <= iwae <= right, and both tend to it as intervals
    become fine. With one interval the left sum is `elbo` and the right sum E_posterior log w.

    betas rise from 0 to 1: `linear_betas(k)` or `log_betas(k)`, or any tuple. A particle outside the support makes the
    left sum -inf, as it makes the ELBO, and leaves the right sum finite. ValueError for other betas or another side.

    Side        left: lower, in expectation at every s. right: upper for exact expectations; from s samples it is
                biased down, and at small s may be below log p(x)
    Tight when  q is the posterior, or for many intervals and samples
    Weights     sums of d g / d log_w_s = pi_s (1 + beta (log_w_s - g)), which may be negative; by differentiation
    Reference   Masrani et al., 2019
    """

    betas: tuple[float, ...]
    side: Literal["left", "right"] = "left"

    def __post_init__(self) -> None:
        check_choice("side", self.side, ("left", "right"))
        if not isinstance(self.betas, tuple | list):
            raise TypeError(
                f"expected betas, a tuple of numbers, got {described(self.betas)}: linear_betas(k) makes some"
            )
        betas = tuple(check_number(f"betas[{i}]", beta) for i, beta in enumerate(self.betas))
        if len(betas) < 2 or betas[0] != 0 or betas[-1] != 1 or not all(a < b for a, b in pairwise(betas)):
            raise ValueError(f"expected betas that rise from 0 to 1, got {self.betas}: linear_betas(k) makes some")
        object.__setattr__(self, "betas", betas)

    @property
    def additive(self) -> bool:
        return len(self.betas) == 2 and self.side == "left"

    @property
    def upper(self) -> bool:
        return self.side == "right"

    def __call__(self, log_w: Float[Tensor, "s n"], /) -> Float[Tensor, " n"]:
        check_log_weights(log_w)
        ends = self.betas[:-1] if self.side == "left" else self.betas[1:]
        steps = [high - low for low, high in pairwise(self.betas)]
        return torch.stack([step * tempered_mean(log_w, beta) for step, beta in zip(steps, ends, strict=True)]).sum(0)

    def derivatives(self, log_w: Float[Tensor, "s n"], /) -> tuple[Float[Tensor, "s n"], Float[Tensor, "s n"]]:
        return elbo.derivatives(log_w) if self.additive else differentiated(self, log_w)


def linear_betas(intervals: int) -> tuple[float, ...]:
    """0, 1 / k, 2 / k, ..., 1 for k intervals. ValueError for fewer than one."""
    intervals = check_count("intervals", intervals)
    return tuple(i / intervals for i in range(intervals + 1))


def log_betas(intervals: int, first: float = 0.025) -> tuple[float, ...]:
    """0, then k values from `first` to 1 with equal ratios: dense where g is steep (Masrani et al., 2019).

    One interval is (0, 1) whatever `first` is. ValueError for fewer than one interval or a first outside (0, 1).
    """
    intervals = check_count("intervals", intervals)
    first = check_number("first", first, "(0, 1)", "0 is always the one before it")
    return (0.0, *(first ** (1 - i / (intervals - 1)) for i in range(intervals - 1)), 1.0)


def tempered_mean(log_w: Float[Tensor, "s n"], beta: float) -> Float[Tensor, " n"]:
    """g(beta) = sum_s pi_s log_w_s, (n,), pi_s = w_s^beta / sum_t w_t^beta, with 0 log 0 = 0 for a weight of 0."""
    if beta == 0:
        return elbo(log_w)
    log_w = at_least_float32(log_w)
    outside = log_w == -torch.inf
    empty = outside.all(0)
    finite = torch.where(outside, 0.0, log_w)
    pi = softmax(torch.where(outside & ~empty, -torch.inf, beta * finite), 0)
    return torch.where(empty, -torch.inf, (pi * finite).sum(0))

"""The tail of importance weights: its Pareto shape k-hat, and its weights smoothed.

Approximates  the shape k of the weights' tail: weights have a mean where k < 1, a variance where k < 1/2
With          a generalised Pareto distribution fitted to the min(s / 5, 3 sqrt(s)) largest of s weights; to a quarter
              of these where weights are nearly equal and the quarter has the lighter tail. The fit is the same for w
              and for 1 + c w, however small c is: where q misses a little skewness or kurtosis, many weights are just
              below a local maximum of w, and above them the largest look like a tail with k from 1 to 5
Requires      log weights of independent draws; s > 20 for any fit
Unbiased when never: `fit_pareto` has a prior for k at 1/2 of the weight of ten observations
Cost          a fit per datum of the tail, and one of its quarter
Reference     Vehtari et al., 2024
"""

import math
from typing import NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from jensen.core.checks import check_count, check_floating
from jensen.estimators.evidence.pareto import LEAST, fit_pareto, pareto_quantile

MOST = 0.7  # a k-hat beyond which no practical number of draws gives a stable mean
NEARLY = 0.95  # of s, the effective sample size from which on weights are nearly equal
UPPER = 4  # a tail of nearly equal weights begins at its uppermost so many parts


class Tail(NamedTuple):
    """The shape of each datum's tail, its log weights less the largest, and how many weights the shape is fitted to."""

    k_hat: Float[Tensor, " n"]
    log_weights: Float[Tensor, "t n"]
    size: Int[Tensor, " n"]

    @property
    def error(self) -> Float[Tensor, " n"]:
        """The standard error of k-hat, that of maximum likelihood (Hosking and Wallis, 1987): (1 + k) / sqrt(size)."""
        return (1 + self.k_hat).clamp_min(0) / self.size.clamp_min(1).sqrt()


def k_hat_threshold(s: int) -> float:
    """min(1 - 1 / log10(s), 0.7): where k_hat is above it, s draws are too few for a stable mean."""
    return min(1 - 1 / math.log10(s), MOST) if s > 1 else -math.inf


def tail_size(s: int) -> int:
    """How many of s weights are their tail: min(s / 5, 3 sqrt(s)), rounded up."""
    s = check_count("s", s)
    return math.ceil(min(0.2 * s, 3 * math.sqrt(s)))


def nearly_equal(ess: Float[Tensor, " n"], s: int) -> Bool[Tensor, " n"]:
    """Whether s weights have an effective sample size so near s that their tail is looked at from higher up."""
    return ess >= NEARLY * s


def smooth_tail(largest: Float[Tensor, "m n"], even: Bool[Tensor, " n"] | None = None) -> Tail:
    """k_hat and the m - 1 smoothed log weights of the tail, less the largest, from m log weights in falling order.

    The last of them is the cutoff, and the tail is what is above it: weights that equal it, as a discrete q's do, are
    not smoothed. The i-th smallest of t tail weights becomes cutoff + F^-1((i - 1/2) / t), F the fit, at most the
    largest raw weight; a weight of 0 stays 0. k_hat is inf where no tail can be fitted (fewer than five weights in it,
    all 0, or one that dominates the rest), -inf where all m are equal, as with an exact q, and NaN for NaN or infinite
    weights, whose smoothed weights are undefined.
    even: data whose weights are `nearly_equal`: of their tail the upper quarter alone, where its k_hat and error sum to
    less than those of the whole.
    """
    check_floating("largest", largest, "m n", "in falling order, one column per datum")
    whole = _fitted(largest)
    if even is None or len(largest) < 2:
        return whole
    part = -(-(len(largest) - 1) // UPPER)
    upper = _fitted(largest[: part + 1])
    lighter = even & (upper.k_hat + upper.error < whole.k_hat + whole.error)
    unsmoothed = torch.cat([upper.log_weights, _below(largest)[part:-1]])
    return Tail(
        torch.where(lighter, upper.k_hat, whole.k_hat),
        torch.where(lighter, unsmoothed, whole.log_weights),
        torch.where(lighter, upper.size, whole.size),
    )


def _fitted(largest: Float[Tensor, "m n"]) -> Tail:
    peak = largest[0]
    broken = peak.isnan() | (peak == torch.inf)
    log_w = _below(largest)
    tail = len(log_w) - 1
    if tail < LEAST:
        return Tail(torch.where(broken, torch.nan, torch.inf).double(), log_w[:-1], torch.zeros_like(peak).long())
    last = (log_w > -torch.inf).sum(0).sub(1).clamp_min(0)  # a weight of 0 is in no tail
    least = log_w.gather(0, last[None])[0]
    m = (log_w[:-1] > least + _rounding(peak, 4)).sum(0)
    cutoff, log_w = log_w.gather(0, m[None])[0], log_w[:-1]  # the largest that equals it: no excess is mere rounding
    level = torch.where(cutoff == -torch.inf, 0.0, cutoff)
    within = torch.arange(tail, device=log_w.device)[:, None] < m
    excess = torch.expm1(torch.where(within, log_w - level, 0.0))  # in units of the cutoff
    # beyond e^709 cutoffs the excess overflows: in units of the largest weight the rest is 0
    excess = torch.where(level < -700, torch.where(within, torch.exp(log_w), 0.0), excess)
    k, sigma = fit_pareto(excess, m)
    equal = (last >= LEAST) & (-least <= _rounding(peak, 100))
    k = torch.where(equal, -torch.inf, k)
    rank = m - torch.arange(tail, device=log_w.device)[:, None]  # 1 is the smallest
    p = ((rank.double() - 0.5) / m.clamp_min(1)).clamp(0, 1 - 1e-12)
    finite = torch.isfinite(k)
    quantile = pareto_quantile(p, torch.where(finite, k, 0.0), torch.where(finite, sigma, 1.0))
    fitted = torch.where(level < -700, torch.log(quantile), torch.log1p(quantile) + level).clamp_max(0)
    return Tail(torch.where(broken, torch.nan, k), torch.where(finite & within, fitted, log_w), m)


def _below(largest: Float[Tensor, "m n"]) -> Float[Tensor, "m n"]:
    """Log weights less the largest."""
    return (largest - torch.where(largest[0].abs() == torch.inf, 0.0, largest[0])).double()


def _rounding(peak: Tensor, units: int) -> Tensor:
    """Log weights this close are equal: `units` of the last place of the largest."""
    size = torch.where(torch.isfinite(peak), peak.abs(), 0.0).clamp_min(1)
    return units * torch.finfo(peak.dtype).eps * size.double()

"""The tail of importance weights: its Pareto shape k-hat, and its weights smoothed.

Approximates  the shape k of the weights' tail: weights have a mean where k < 1, a variance where k < 1/2
With          a generalised Pareto distribution fitted to the min(s / 5, 3 sqrt(s)) largest of s weights
Requires      log weights of independent draws; s > 20 for any fit
Unbiased when never: `fit_pareto` has a prior for k at 1/2 of the weight of ten observations
Cost          one fit per datum
Reference     Vehtari et al., 2024
"""

import math

import torch
from jaxtyping import Float
from torch import Tensor

from jensen.core.checks import check_count, check_floating
from jensen.estimators.evidence.pareto import LEAST, fit_pareto, pareto_quantile

MOST = 0.7  # a k-hat beyond which no practical number of draws gives a stable mean


def k_hat_threshold(s: int) -> float:
    """min(1 - 1 / log10(s), 0.7): where k_hat is above it, s draws are too few for a stable mean."""
    return min(1 - 1 / math.log10(s), MOST) if s > 1 else -math.inf


def tail_size(s: int) -> int:
    """How many of s weights are their tail: min(s / 5, 3 sqrt(s)), rounded up."""
    s = check_count("s", s)
    return math.ceil(min(0.2 * s, 3 * math.sqrt(s)))


def smooth_tail(largest: Float[Tensor, "m n"]) -> tuple[Float[Tensor, " n"], Float[Tensor, "t n"]]:
    """k_hat and the m - 1 smoothed log weights of the tail, less the largest, from m log weights in falling order.

    The last of them is the cutoff, and the tail is what is above it: weights that equal it, as a discrete q's do, are
    not smoothed. The i-th smallest of t tail weights becomes cutoff + F^-1((i - 1/2) / t), F the fit, at most the
    largest raw weight; a weight of 0 stays 0. k_hat is inf where no tail can be fitted (fewer than five weights in it,
    all 0, or one that dominates the rest), -inf where all m are equal, as with an exact q, and NaN for NaN or infinite
    weights, whose smoothed weights are undefined.
    """
    check_floating("largest", largest, "m n", "in falling order, one column per datum")
    peak = largest[0]
    broken = peak.isnan() | (peak == torch.inf)
    log_w = (largest - torch.where(peak.abs() == torch.inf, 0.0, peak)).double()
    tail = len(log_w) - 1
    if tail < LEAST:
        return torch.where(broken, torch.nan, log_w.new_full(peak.shape, torch.inf)), log_w[:-1]
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
    return torch.where(broken, torch.nan, k), torch.where(finite & within, fitted, log_w)


def _rounding(peak: Tensor, units: int) -> Tensor:
    """Log weights this close are equal: `units` of the last place of the largest."""
    size = torch.where(torch.isfinite(peak), peak.abs(), 0.0).clamp_min(1)
    return units * torch.finfo(peak.dtype).eps * size.double()

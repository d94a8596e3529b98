"""How far importance weights can be trusted: effective sample size, and the Pareto shape k-hat of their tail.

Approximates  the shape k of the weights' tail: weights have a mean where k < 1, a variance where k < 1/2
With          a generalised Pareto distribution fitted to the min(s / 5, 3 sqrt(s)) largest weights of each datum,
              which are then replaced by the quantiles of the fit (Pareto smoothed importance sampling)
Requires      log weights of independent draws, (s, n), s > 20 for any verdict and s > 2200 for the usual 0.7
Unbiased when never: smoothing trades a small bias, which vanishes as s grows where k < 1, for variance
Cost          one sort of the weights' tail and one fit per datum; no gradients
Reference     Vehtari et al., 2024; Yao et al., 2018, for its use on variational posteriors
"""

import math
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from jensen.core.ops.importance import importance, log_sum_exp
from jensen.core.ops.log_scale import at_least_float32
from jensen.estimators.diagnostics.pareto import LEAST, fit_pareto, pareto_quantile
from jensen.estimators.diagnostics.wording import listed

PRACTICAL = 1e6  # draws that a verdict may ask for


class Psis(NamedTuple):
    """The tail of each datum's weights, and the weights with their tail smoothed.

    k_hat is inf where no tail can be fitted (all weights 0, fewer than five in the tail, or one that dwarfs the rest)
    and -inf where the largest weights are all equal, as with an exact q; NaN for NaN or infinite weights.
    """

    k_hat: Float[Tensor, " n"]
    log_weights: Float[Tensor, "s n"]  # smoothed and normalised: exp of them sums to 1 over s
    ess: Float[Tensor, " n"]  # of the smoothed weights

    @property
    def threshold(self) -> float:
        """min(1 - 1 / log10(s), 0.7): where k_hat is above it, s draws are too few for a stable mean."""
        s = len(self.log_weights)
        return min(1 - 1 / math.log10(s), 0.7) if s > 1 else -math.inf

    def verdict(self) -> str:
        bad = ~(self.k_hat <= self.threshold)  # NaN is bad
        n, worst = len(bad), torch.where(self.k_hat.isnan(), torch.inf, self.k_hat).max().item()
        limit = f"the threshold {self.threshold:.2f} for {len(self.log_weights)} draws"
        if not bad.any():
            return f"weights are reliable: k-hat is at most {worst:.2f} over {n} data, within {limit}"
        need = 10 ** (1 / (1 - worst)) if worst < 1 else math.inf
        cure = (
            f"draw {need:.1g} samples or take"
            if len(self.log_weights) < need <= PRACTICAL
            else "more draws will not mend it: take"
        )
        return (
            f"weights are unreliable for {int(bad.sum())} of {n} data ({listed(bad)}): k-hat is up to {worst:.2f}, "
            f"above {limit}: {cure} a q with wider tails"
        )


@torch.no_grad()
def ess(log_w: Float[Tensor, "s n"]) -> Float[Tensor, " n"]:
    """(sum_s w)^2 / sum_s w^2, in [1, s], and 0 where every weight is 0: (n,).

    It counts draws only where the weights have a variance: below a k-hat of 1/2.
    """
    _check(log_w)
    log_w = at_least_float32(log_w)
    peak = log_w.amax(0)
    log_w = log_w - torch.where(peak == -torch.inf, 0.0, peak)  # before the logarithm of the sum can round
    return importance(log_w, torch.zeros_like(log_w))[2]


@torch.no_grad()
def psis(log_w: Float[Tensor, "s n"]) -> Psis:
    """k-hat, smoothed weights and their effective sample size for log weights log p(x, z) - log q(z | x).

    The i-th smallest of m tail weights becomes cutoff + F^-1((i - 1/2) / m), F the fit, at most the largest raw
    weight. A weight of 0 stays 0. ValueError for anything but (s, n).
    """
    _check(log_w)
    log_w = at_least_float32(log_w)
    peak = log_w.amax(0)
    broken = peak.isnan() | (peak == torch.inf)
    shifted = (log_w - torch.where(peak.abs() == torch.inf, 0.0, peak)).double()
    k_hat, smoothed = _smooth(shifted, _rounding(peak))
    total = log_sum_exp(smoothed, 0)
    smoothed = torch.where(broken, torch.nan, smoothed - torch.where(total == -torch.inf, 0.0, total))
    squares = torch.exp(2 * smoothed).sum(0)
    found = (
        torch.where(broken, torch.nan, k_hat),
        smoothed,
        torch.where(squares == 0, 0.0, 1 / torch.where(squares == 0, 1.0, squares)),
    )
    return Psis(*(t.to(log_w.dtype) for t in found))


def _smooth(log_w: Tensor, rounding: Tensor) -> tuple[Tensor, Tensor]:
    """k_hat (n,) and the smoothed log weights (s, n) of log weights whose largest is 0."""
    s, n = log_w.shape
    tail = math.ceil(min(0.2 * s, 3 * math.sqrt(s)))
    if tail < LEAST:
        return log_w.new_full((n,), torch.inf), log_w
    largest, place = log_w.topk(tail + 1, 0)
    m = (largest > -torch.inf).sum(0).sub(1).clamp_min(0)  # a weight of 0 is in no tail
    cutoff = largest.gather(0, m[None])[0]
    largest, place = largest[:-1], place[:-1]
    level = torch.where(cutoff == -torch.inf, 0.0, cutoff)
    within = torch.arange(tail, device=log_w.device)[:, None] < m
    excess = torch.expm1(torch.where(within, largest - level, 0.0))  # in units of the cutoff
    # beyond e^709 cutoffs the excess overflows: in units of the largest weight the rest is 0
    excess = torch.where(level < -700, torch.where(within, torch.exp(largest), 0.0), excess)
    k, sigma = fit_pareto(excess, m)
    equal = (m >= LEAST) & (-cutoff <= rounding)
    k = torch.where(equal, -torch.inf, k)
    rank = m - torch.arange(tail, device=log_w.device)[:, None]  # 1 is the smallest
    p = ((rank.double() - 0.5) / m.clamp_min(1)).clamp(0, 1 - 1e-12)
    finite = torch.isfinite(k)
    quantile = pareto_quantile(p, torch.where(finite, k, 0.0), torch.where(finite, sigma, 1.0))
    fitted = torch.where(level < -700, torch.log(quantile), torch.log1p(quantile) + level).clamp_max(0)
    return k, log_w.scatter(0, place, torch.where(finite & within, fitted, largest))


def _rounding(peak: Tensor) -> Tensor:
    """Log weights this close are equal."""
    size = torch.where(torch.isfinite(peak), peak.abs(), 0.0).clamp_min(1)
    return 100 * torch.finfo(peak.dtype).eps * size.double()


def _check(log_w: Tensor) -> None:
    if log_w.ndim != 2 or 0 in log_w.shape:
        raise ValueError(
            f"expected log weights (s, n) with s >= 1 and n >= 1, got {tuple(log_w.shape)}: "
            "samples come first, then data; add a missing axis with log_w[:, None]"
        )

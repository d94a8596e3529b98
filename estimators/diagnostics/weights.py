"""Diagnostics of importance weights: effective sample size, and the Pareto shape k-hat of their tail (PSIS).

Approximates  the shape k of the weights' tail: weights have a mean where k < 1, a variance where k < 1/2
With          a generalised Pareto distribution fitted to the min(s / 5, 3 sqrt(s)) largest weights of each datum, or
              to a quarter of them where all are nearly equal, which are then replaced by the quantiles of the fit
              (Pareto smoothed importance sampling)
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

from jensen.core.checks import check_count, check_floating
from jensen.core.numerics import at_least_float32, log_sum_exp
from jensen.core.ops._importance import importance
from jensen.estimators.diagnostics._checks import check_filled
from jensen.estimators.evidence.pareto import LEAST
from jensen.estimators.evidence.tail import MOST, k_hat_threshold, nearly_equal, smooth_tail, tail_size
from jensen.estimators.wording import listed, no_verdict


class Psis(NamedTuple):
    """The tail of each datum's weights, and the weights with their tail smoothed.

    k_hat is inf where no tail can be fitted, -inf where the largest weights are all equal, and NaN for NaN or infinite
    weights: see `evidence.smooth_tail`.
    """

    k_hat: Float[Tensor, " n"]
    log_weights: Float[Tensor, "s n"]  # smoothed and normalised: exp of them sums to 1 over s
    ess: Float[Tensor, " n"]  # of the smoothed weights
    k_hat_error: Float[Tensor, " n"]  # the standard error of k_hat, by the number of weights in the tail

    def verdict(self, discrete: bool = False) -> str:
        return reliability(self.k_hat, len(self.log_weights), discrete)


def reliability(k_hat: Float[Tensor, " n"], s: int, discrete: bool = False) -> str:
    """The verdict on importance sampling with s draws per datum, from the shape of their weights' tail.

    `discrete`: whether q has a finite support. Its weights are then bounded, and wider tails no remedy.
    """
    check_floating("k_hat", k_hat, "n", "one for each datum; it comes before the number of draws")
    check_filled("k_hat", k_hat)
    s = check_count("s", s)
    if k_hat.isnan().any():
        return no_verdict(k_hat.isnan(), "the weights of data", "log_p and log q")
    if tail_size(s) < LEAST:
        few = math.ceil((LEAST - 1) / 0.2)
        return f"no verdict: {s} draws are too few to judge a tail of weights: draw more than {few} for each datum"
    threshold, worst = k_hat_threshold(s), k_hat.max().item()
    bad, limit = k_hat > threshold, f"the threshold {threshold:.2f} for {s} draws"
    if not bad.any():
        of = f"at most {worst:.2f} over {len(bad)} data" if len(bad) > 1 else f"{worst:.2f}"
        return f"weights are reliable: k-hat is {of}, within {limit}"
    which = f" for {int(bad.sum())} of {len(bad)} data ({listed(bad)})" if len(bad) > 1 else ""
    most = f"up to {worst:.2f}" if len(bad) > 1 else f"{worst:.2f}"
    return f"weights are unreliable{which}: k-hat is {most}, above {limit}: {_cure(worst, s, discrete)}"


@torch.no_grad()
def ess(log_w: Float[Tensor, "s n"]) -> Float[Tensor, " n"]:
    """(sum_s w)^2 / sum_s w^2, in [1, s], and 0 where every weight is 0: (n,).

    An effective sample size only where the weights have a variance: for a k-hat below 1/2.
    """
    _check(log_w)
    log_w = at_least_float32(log_w)
    peak = log_w.amax(0)
    log_w = log_w - torch.where(peak == -torch.inf, 0.0, peak)  # before the logarithm of the sum is rounded
    return importance(log_w, torch.zeros_like(log_w))[2]


@torch.no_grad()
def psis(log_w: Float[Tensor, "s n"]) -> Psis:
    """k-hat, smoothed weights and their effective sample size for log weights log p(x, z) - log q(z | x).

    The tail is smoothed by `evidence.smooth_tail`. ValueError for anything but (s, n). Where weights are too many to
    store, `evidence.importance` gives their k_hat, and `reliability` its verdict.
    """
    _check(log_w)
    log_w = at_least_float32(log_w)
    largest, place = log_w.topk(min(tail_size(len(log_w)) + 1, len(log_w)), 0)
    peak = largest[0]
    shifted = (log_w - torch.where(peak.abs() == torch.inf, 0.0, peak)).double()
    tail = smooth_tail(largest, nearly_equal(ess(log_w), len(log_w)))
    smoothed = shifted.scatter(0, place[: len(tail.log_weights)], tail.log_weights)
    total = log_sum_exp(smoothed, 0)
    smoothed = smoothed - torch.where(total == -torch.inf, 0.0, total)
    smoothed = torch.where(peak.isnan() | (peak == torch.inf), torch.nan, smoothed)
    squares = torch.exp(2 * smoothed).sum(0)
    effective = torch.where(squares == 0, 0.0, 1 / torch.where(squares == 0, 1.0, squares))
    return Psis(*(t.to(log_w.dtype) for t in (tail.k_hat, smoothed, effective, tail.error)))


def _cure(k: float, s: int, discrete: bool) -> str:
    """What to do about a k-hat above its threshold: s > 10^(1 / (1 - k)) draws, in two digits, where any will do."""
    if discrete:
        return f"weights of a discrete q are bounded: k-hat describes only what these {s} draws saw"
    if k == math.inf:
        return "no tail could be fitted, as most weights are 0 or tied or one dwarfs the rest: look at their ess"
    if k > MOST:
        return "more draws will not mend it: take a q with wider tails"
    need = 10 ** (1 / (1 - k))
    unit = 10 ** max(0, math.floor(math.log10(need)) - 1)
    return f"draw {math.ceil(need / unit) * unit} samples or take a q with wider tails"


def _check(log_w: Tensor) -> None:
    check_floating("log_w", log_w, "s n", "samples come first, then data; add a missing axis with log_w[:, None]")
    check_filled("log_w", log_w)

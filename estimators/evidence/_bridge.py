"""Bridge sampling (Meng and Wong, 1996): a ratio of normalisers from draws of the posterior and of a proposal.

Approximates  log p(x) per datum
With          c = log r, the fixed point of Meng and Wong's r <- mean_q[p / (s1 p + s2 r q)] / mean_post[q / (s1 p +
              s2 r q)], s1 draws of the posterior and s2 of q; it is the root of an increasing function of c, found
              by bisection
Requires      draws of p(z | x), in the chain's order, and a q that overlaps it and was fitted to other draws. A mode
              that both miss is seen by nothing here
Unbiased when never; consistent as both numbers of draws grow, with the least asymptotic error of all bridges
Cost          one evaluation of log_p and q per draw, `chunk` at a time; two numbers stored per draw
Reference     Meng and Wong, 1996; Frühwirth-Schnatter, 2004, for the error; Geyer, 1992, for a chain's
"""

import math
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from jensen.core import keys
from jensen.core.checks import check_count, check_distribution, check_floating, check_function, check_key
from jensen.core.concrete import is_concrete
from jensen.core.contracts import Distribution, Key, LogDensity
from jensen.core.numerics import at_least_float32, bisect
from jensen.estimators.evidence._importance import draw, draw_at
from jensen.estimators.evidence.autocorrelation import variance_of_mean
from jensen.estimators.evidence.judgement import FEW, Doubts, judged, verdict

LONG = 30  # autocorrelation times of a chain; a shorter one does not know its own error
FAR = 4.0  # standard errors
APART = "fewer than five draws of one side overlap the other: take a q nearer the posterior, or more draws of both"
SHORT = "the chain has fewer than 30 effective draws: draw a longer one"
UNLIKE = (
    "the draws of the posterior and of q contradict each other: the former miss a part that q reaches, or are of "
    "another density: draw longer chains, from several starts"
)


class Bridge(NamedTuple):
    """log_p with its standard error in nats per datum, and how far the two densities overlap, each (n,).

    log_p +- 1.96 standard_error is a 95 % interval. The error is inf where a doubt holds: where, on either side, the
    effective number of draws is below five, (sum f)^2 / sum f^2 < 5 for f the probability of having come from the other
    side, or their expected number below one, sum f < 1; where the chain is short for its correlation; and where the two
    sets of draws contradict each other, see `_contradiction`. It is inf too where a side has no finite ratio; log_p is
    then -inf if all draws of q lie outside the posterior's support, and else inf.
    """

    log_p: Float[Tensor, " n"]
    standard_error: Float[Tensor, " n"]
    overlap: Float[Tensor, " n"]  # in [0, 1]: 1 where q is the posterior, 0 where the densities do not overlap
    doubts: Doubts

    def verdict(self) -> str:
        """How well log p(x) is known, and for which data it is not, with what to do."""
        return verdict("bridge sampling", self.log_p, self.standard_error, self.doubts)


@torch.no_grad()
def bridge(
    log_p: LogDensity,
    q: Distribution,
    z: Float[Tensor, "s n *d"],
    key: Key,
    k: int,
    chunk: int = 4096,
) -> Bridge:
    """Evidence from s draws z of the posterior and k draws of q.

    log_p: z (s, n, *d) -> (s, n); not differentiated. Draws of a chain may be correlated: their part of the error is
    by their autocovariances. ValueError for fewer than five draws of either, or where log_p is -inf or NaN at a
    z, which is then no draw of the posterior.
    """
    check_function("log_p", log_p, "model.log_joint")
    check_distribution("q", q)
    check_floating("z", z, "s n *d", "draws of the posterior first, then data")
    check_key(key)
    k, chunk = check_count("k", k), check_count("chunk", chunk)
    _check_draws(len(z), k)
    posterior = torch.cat([draw_at(log_p, q, part) for part in z.split(chunk)])
    parts = [draw(log_p, q, min(chunk, k - i), keys.at(key, particle=i)) for i in range(0, k, chunk)]
    return from_log_ratios(posterior, torch.cat(parts))


@torch.no_grad()
def from_log_ratios(posterior: Float[Tensor, "s1 n"], proposal: Float[Tensor, "s2 n"]) -> Bridge:
    """Evidence from log p(x, z) - log q(z) at draws of the posterior (s1, n) and of the proposal (s2, n)."""
    _check_ratios(posterior, proposal)
    dtype = at_least_float32(posterior).dtype
    posterior, proposal = posterior.double(), proposal.double()
    s1, s2 = len(posterior), len(proposal)
    shift = math.log(s1 / s2)
    c = _root(posterior, proposal, shift)
    from_posterior, from_proposal = torch.sigmoid(c - shift - posterior), torch.sigmoid(proposal + shift - c)
    variance = variance_of_mean(from_posterior)
    square = variance / from_posterior.mean(0).square() + from_proposal.var(0) / from_proposal.mean(0).square() / s2
    time = _correlation_time(from_posterior, variance)
    bridging = torch.minimum(_effective(from_posterior), _effective(from_proposal))
    # a side without a finite ratio says only that the evidence is beyond every finite ratio
    beyond = (posterior == torch.inf).all(0) | (proposal.abs() == torch.inf).all(0)
    log_p = torch.where((proposal == -torch.inf).all(0), -torch.inf, torch.where(beyond, torch.inf, c))
    apart = (bridging < FEW) | (from_proposal.sum(0) < 1)
    doubts = {
        APART: apart,
        SHORT: ~apart & (time > 2) & (s1 < LONG * time),
        UNLIKE: ~apart & (_contradiction(posterior + shift - c, proposal + shift - c, time) > FAR),
    }
    error = judged(torch.where(beyond | apart, torch.inf, square.sqrt()), doubts)
    overlap = torch.where(beyond, 0.0, from_proposal.mean(0) * (s1 + s2) / s1)
    return Bridge(log_p.to(dtype), error.to(dtype), overlap.clamp_max(1).to(dtype), doubts)


def _correlation_time(f: Tensor, variance: Tensor) -> Tensor:
    """How many draws (s, n) of a chain are worth one for its mean: at least 1, as where f is constant to rounding."""
    constant = f.std(0) <= 1e-12 * f.mean(0)
    return torch.where(constant, 1.0, len(f) * variance / f.var(0)).clamp_min(1)


def _contradiction(posterior: Tensor, proposal: Tensor, time: Tensor) -> Tensor:
    """How many standard errors the shares of the sides are from their log odds, (s1, n) and (s2, n), at worst: (n,).

    A draw of either side has come from the posterior with probability sigmoid(odds), if the draws are what they claim
    to be. Among draws of odds above a threshold the numbers from either side then differ from the expected ones by a
    random sum of known variance, with a chain's autocorrelation time, given that all odds together agree; one draw more
    or less says nothing.
    """
    ours, theirs = torch.sigmoid(-posterior), torch.sigmoid(proposal)
    ours_variance, theirs_variance = ours * (1 - ours), theirs * (1 - theirs)
    whole = ours_variance.sum(0) + theirs_variance.sum(0)
    worst = torch.zeros_like(whole)
    for threshold in range(-6, 7):
        first, second = posterior > threshold, proposal > threshold
        excess = (ours * first).sum(0) - (theirs * second).sum(0)
        part = (ours_variance * first).sum(0) + (theirs_variance * second).sum(0)
        variance = time * (part * (1 - part / whole)).nan_to_num(0.0)
        worst = torch.maximum(worst, excess.abs() / torch.sqrt(variance + 1))
    return worst


def _root(posterior: Tensor, proposal: Tensor, shift: float) -> Tensor:
    """The c at which the expected numbers of draws from the other side agree, (n,)."""
    ratios = torch.cat([posterior, proposal])
    infinite = ratios.abs() == torch.inf
    slack = math.log(max(len(posterior), len(proposal))) + 2  # the root lies within it of the finite ratios
    low = torch.where(infinite, torch.inf, ratios).amin(0) - slack
    high = torch.where(infinite, -torch.inf, ratios).amax(0) + slack

    def below(c: Tensor) -> Tensor:
        return torch.sigmoid(c - shift - posterior).sum(0) <= torch.sigmoid(proposal + shift - c).sum(0)

    low, high = bisect(below, low, high, 64)
    return (low + high) / 2


def _effective(f: Tensor) -> Tensor:
    """(sum f)^2 / sum f^2, the number of draws (s, n) that a mean of f rests on; 0 where f is 0."""
    total = f / f.amax(0).clamp_min(torch.finfo(f.dtype).tiny)  # squares of small numbers would underflow
    return total.sum(0).square() / total.square().sum(0).clamp_min(1)


def _check_ratios(posterior: Tensor, proposal: Tensor) -> None:
    check_floating("posterior", posterior)
    check_floating("proposal", proposal)
    if posterior.ndim != 2 or proposal.ndim != 2 or posterior.shape[1] != proposal.shape[1]:
        raise ValueError(
            "expected posterior (s1, n) and proposal (s2, n) of the same data, "
            f"got {tuple(posterior.shape)} and {tuple(proposal.shape)}: for one datum add an axis with t[:, None]"
        )
    _check_draws(len(posterior), len(proposal))
    outside = (posterior == -torch.inf) | posterior.isnan()
    if is_concrete(outside) and outside.any():
        data = outside.any(0).nonzero()[:, 0].tolist()
        raise ValueError(
            f"expected draws of the posterior, where log_p > -inf, got others for data {data[:10]}: "
            "give the posterior's draws first and the proposal's second"
        )


def _check_draws(posterior: int, proposal: int) -> None:
    if min(posterior, proposal) < FEW:
        raise ValueError(
            f"expected at least five draws of the posterior and of q, got {posterior} and {proposal}: draw more"
        )

"""Bridge sampling (Meng and Wong, 1996): a ratio of normalisers from draws of the posterior and of a proposal.

Approximates  log p(x) per datum
With          c = log r, the fixed point of Meng and Wong's r <- mean_q[p / (s1 p + s2 r q)] / mean_post[q / (s1 p +
              s2 r q)], s1 draws of the posterior and s2 of q; it is the root of an increasing function of c, found
              by bisection
Requires      draws of p(z | x), in the chain's order, and a q that overlaps it and was fitted to other draws
Unbiased when never; consistent as both numbers of draws grow, with the least asymptotic error of all bridges
Cost          one evaluation of log_p and q per draw, `chunk` at a time; two numbers stored per draw
Reference     Meng and Wong, 1996; Frühwirth-Schnatter, 2004, for the error
"""

import math
from typing import NamedTuple

import torch
from einops import reduce
from jaxtyping import Float
from torch import Tensor

from jensen.core import keys
from jensen.core.contracts import Distribution, Key, LogDensity
from jensen.core.numerics import at_least_float32, bisect
from jensen.estimators.evidence._importance import check_counts, draw, draw_at

FEW = 5  # effective draws of a side below which the error is not estimated: for 20 nats the estimate may be 1.2


class Bridge(NamedTuple):
    """log_p with its standard error in nats per datum, and how far the two densities overlap, each (n,).

    The error is inf where the overlap is too small to estimate it: where, on either side, the effective number of
    draws is below five, (sum f)^2 / sum f^2 < 5 for f the probability of having come from the other side, or where
    their expected number is below one, sum f < 1. It is inf too where a side has no finite ratio; log_p is then -inf
    if all draws of q lie outside the posterior's support, and else inf.
    """

    log_p: Float[Tensor, " n"]
    standard_error: Float[Tensor, " n"]
    overlap: Float[Tensor, " n"]  # in [0, 1]: 1 where q is the posterior, 0 where the densities do not overlap


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

    log_p: z (s, n, *d) -> (s, n); not differentiated. Draws of a chain may be correlated: their part of the error is by
    batch means over sqrt(s) batches. ValueError for fewer than five draws of either, or where log_p is -inf or NaN at a
    z, which is then no draw of the posterior.
    """
    check_counts(k=k, chunk=chunk)
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
    square = _batch_error(from_posterior) + from_proposal.var(0) / from_proposal.mean(0).square() / s2
    bridging = torch.minimum(_effective(from_posterior), _effective(from_proposal))
    # a side without a finite ratio says only that the evidence is beyond every finite ratio
    beyond = (posterior == torch.inf).all(0) | (proposal.abs() == torch.inf).all(0)
    log_p = torch.where((proposal == -torch.inf).all(0), -torch.inf, torch.where(beyond, torch.inf, c))
    error = torch.where(beyond | (bridging < FEW) | (from_proposal.sum(0) < 1), torch.inf, square.sqrt())
    overlap = torch.where(beyond, 0.0, from_proposal.mean(0) * (s1 + s2) / s1)
    return Bridge(*(t.to(dtype) for t in (log_p, error, overlap.clamp_max(1))))


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


def _batch_error(t: Tensor) -> Tensor:
    """The squared relative error of the mean of correlated draws (s, n), from sqrt(s) consecutive batches."""
    size = math.isqrt(len(t))
    batches = reduce(t[: size * (len(t) // size)], "(batch s) n -> batch n", "mean", s=size)
    return batches.var(0) / len(batches) / t.mean(0).square()


def _check_ratios(posterior: Tensor, proposal: Tensor) -> None:
    if posterior.ndim != 2 or proposal.ndim != 2 or posterior.shape[1] != proposal.shape[1]:
        raise ValueError(
            "expected log ratios (s1, n) and (s2, n) of the same data, "
            f"got {tuple(posterior.shape)} and {tuple(proposal.shape)}: for one datum add an axis with t[:, None]"
        )
    _check_draws(len(posterior), len(proposal))
    outside = (posterior == -torch.inf) | posterior.isnan()
    if outside.any():
        data = outside.any(0).nonzero()[:, 0].tolist()
        raise ValueError(
            f"expected draws of the posterior, where log_p > -inf, got others for data {data[:10]}: "
            "give the posterior's draws first and the proposal's second"
        )


def _check_draws(posterior: int, proposal: int) -> None:
    if min(posterior, proposal) < FEW:
        raise ValueError(f"expected at least five draws of the posterior and of q, got {posterior} and {proposal}")

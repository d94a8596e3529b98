"""Bridge sampling: the evidence as the shift that makes draws of the posterior and of a proposal indistinguishable.

Approximates  log p(x) per datum
With          c = log r, the fixed point of Meng and Wong's r <- mean_q[p / (s1 p + s2 r q)] / mean_post[q / (s1 p +
              s2 r q)], s1 draws of the posterior and s2 of q; it is the root of an increasing function of c, found
              by bisection
Requires      draws of p(z | x), in the chain's order, and a q that overlaps it and was fitted to other draws
Unbiased when never; consistent as both numbers of draws grow, with the least asymptotic error of all bridges
Cost          one evaluation of log_p and q per draw, `chunk` at a time; two numbers kept per draw
Reference     Meng and Wong, 1996; Frühwirth-Schnatter, 2004, for the error
"""

import math
from typing import Any, NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor

from jensen.core import keys
from jensen.core.ops.log_scale import at_least_float32
from jensen.estimators.evidence.importance import draw, draw_at
from jensen.estimators.gradients.contract import LogDensity


class Bridge(NamedTuple):
    """log_p with its standard error in nats per datum, and how far the two densities overlap, each (n,)."""

    log_p: Float[Tensor, " n"]
    standard_error: Float[Tensor, " n"]
    overlap: Float[Tensor, " n"]  # in [0, 1]: 1 where q is the posterior, 0 where no draw bridges them


@torch.no_grad()
def bridge(
    log_p: LogDensity,
    q: Any,
    z: Float[Tensor, "s n *d"],
    key: Int[Tensor, "3"],
    k: int,
    chunk: int = 4096,
) -> Bridge:
    """Evidence from s draws z of the posterior and k draws of q.

    log_p: z (s, n, *d) -> (s, n); nothing is differentiated. Draws of a chain may be correlated: the error of their
    part is that of batch means over sqrt(s) batches. ValueError for fewer than four draws of either, or where log_p
    is -inf or NaN at a z, which then is no draw of the posterior.
    """
    if len(z) < 4 or k < 4:
        raise ValueError(f"expected at least four draws of the posterior and of q, got {len(z)} and {k}")
    posterior = torch.cat([draw_at(log_p, q, part) for part in z.split(chunk)])
    parts = [draw(log_p, q, min(chunk, k - i), keys.at(key, particle=i)) for i in range(0, k, chunk)]
    return from_log_ratios(posterior, torch.cat(parts))


@torch.no_grad()
def from_log_ratios(posterior: Float[Tensor, "s1 n"], proposal: Float[Tensor, "s2 n"]) -> Bridge:
    """Evidence from log p(x, z) - log q(z) at draws of the posterior (s1, n) and of the proposal (s2, n)."""
    impossible = (posterior == -torch.inf) | posterior.isnan()
    if impossible.any():
        data = impossible.any(0).nonzero()[:, 0].tolist()
        raise ValueError(
            f"expected draws of the posterior, where log_p > -inf, got others for data {data[:10]}: "
            "give the posterior's draws first and the proposal's second"
        )
    dtype = at_least_float32(posterior).dtype
    posterior, proposal = posterior.double(), proposal.double()
    s1, s2 = len(posterior), len(proposal)
    shift = math.log(s1 / s2)
    finite = torch.cat([posterior, proposal])
    slack = math.log(max(s1, s2)) + 2  # the root lies within it of the finite ratios
    low = torch.where(finite.abs() == torch.inf, torch.inf, finite).amin(0) - slack
    high = torch.where(finite.abs() == torch.inf, -torch.inf, finite).amax(0) + slack
    for _ in range(64):
        c = (low + high) / 2
        above = torch.sigmoid(c - shift - posterior).sum(0) > torch.sigmoid(proposal + shift - c).sum(0)
        low, high = torch.where(above, low, c), torch.where(above, c, high)
    c = (low + high) / 2
    from_posterior, from_proposal = torch.sigmoid(c - shift - posterior), torch.sigmoid(proposal + shift - c)
    apart = (from_proposal.mean(0) == 0) | (from_posterior.mean(0) == 0)
    square = _batch_error(from_posterior) + from_proposal.var(0) / from_proposal.mean(0).square() / s2
    # a one-sided separation says only that the evidence is beyond every finite ratio
    none_alive = (proposal == -torch.inf).all(0)
    log_p = torch.where(none_alive, -torch.inf, c)
    error = torch.where(apart | none_alive, torch.inf, square.sqrt())
    overlap = from_proposal.mean(0) * (s1 + s2) / s1
    overlap = torch.where(none_alive, 0.0, overlap)
    return Bridge(*(t.to(dtype) for t in (log_p, error, overlap.clamp_max(1))))


def _batch_error(t: Tensor) -> Tensor:
    """The squared relative error of the mean of correlated draws (s, n), from sqrt(s) consecutive batches."""
    size = math.isqrt(len(t))
    batches = t[: size * (len(t) // size)].reshape(-1, size, t.shape[1]).mean(1)
    return batches.var(0) / len(batches) / t.mean(0).square()

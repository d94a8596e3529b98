"""Measure-valued gradients: the derivative of a density as a difference of two densities.

Approximates  grad E_q[log p(x, z) - log q(z | x)]
With          d E_q[f] / d parameter = c (E_{q+}[f] - E_{q-}[f]), one component of z at a time, the others as sampled.
              Bernoulli: z_i = 1 less z_i = 0, c = p (1 - p). Normal, loc: loc ± scale w, w Rayleigh,
              c = scale^-1 (2 pi)^-1/2. Normal, log_scale: loc + scale m, m double-sided Maxwell, less z itself,
              c = 1. w and m are monotone functions of the noise, which couples them
Requires      a Bernoulli q or a DiagNormal; no gradient of log_p in z
Unbiased when always
Cost          2 d + 1 evaluations of log_p per sample for a Bernoulli, 3 d + 1 for a normal
Reference     Pflug, 1996; Rosca et al., 2019, measure-valued derivatives; Mohamed et al., 2020
"""

import math

import torch
from jaxtyping import Float
from torch import Tensor

from jensen.core import bounds, trees
from jensen.core.contracts import Bound, LogDensity
from jensen.core.distributions import Bernoulli, DiagNormal
from jensen.core.numerics import bisect, bounded
from jensen.estimators.gradients import catalogue
from jensen.estimators.gradients.contract import apply_bound, carry, density, difference, shares


def measure_valued(
    log_p: LogDensity,
    q: Bernoulli | DiagNormal,
    noise: Float[Tensor, "s n d"],
    /,
    *,
    bound: Bound = bounds.elbo,
) -> Float[Tensor, " n"]:
    """The ELBO in nats per datum at z = q.sample(noise), (n,). TypeError for other q, ValueError for another bound."""
    catalogue.check("measure_valued", q, bound, len(noise))
    return _normal(log_p, q, noise, bound) if isinstance(q, DiagNormal) else _bernoulli(log_p, q, noise, bound)


def maxwell(eps: Float[Tensor, "..."]) -> Float[Tensor, "..."]:
    """The double-sided Maxwell number, density x^2 exp(-x^2 / 2) / sqrt(2 pi), at a normal number's quantile.

    The root of erf(x / sqrt 2) - sqrt(2 / pi) x exp(-x^2 / 2) = erf(|eps| / sqrt 2), by halving an interval.
    """
    rest = torch.special.erfc(eps.abs() / math.sqrt(2))

    def below(x: Tensor) -> Tensor:
        tail = torch.special.erfc(x / math.sqrt(2)) + math.sqrt(2 / math.pi) * x * torch.exp(-x.square() / 2)
        return tail >= rest

    size, _ = bisect(below, eps.abs(), eps.abs() + 2, 60 if eps.dtype == torch.float64 else 30)
    return torch.where(eps < 0, -size, size)


def rayleigh(eps: Float[Tensor, "..."]) -> Float[Tensor, "..."]:
    """The Rayleigh number at a normal number's quantile: sqrt(-2 log(1 - Phi(eps)))."""
    tail = 0.5 * torch.special.erfc(eps.abs() / math.sqrt(2))
    return torch.sqrt(-2 * torch.where(eps < 0, torch.log1p(-tail), torch.log(tail)))


def _bernoulli(log_p: LogDensity, q: Bernoulli, u: Tensor, bound: Bound) -> Tensor:
    z = q.sample(u)
    log_w, (ones, zeros) = _log_w(log_p, q, z, [torch.ones_like(z), torch.zeros_like(z)])
    p = torch.sigmoid(q.logits.detach())
    part = shares(bound, log_w)[..., None]
    slope = p * (1 - p) * (part * difference(ones, zeros)).sum(0)
    return apply_bound(bound, log_w) + carry((slope * carry(q.logits)).sum(-1))


def _normal(log_p: LogDensity, q: DiagNormal, eps: Tensor, bound: Bound) -> Tensor:
    z = q.sample(eps).detach()
    loc, scale = q.loc.detach(), torch.exp(bounded(q.log_scale)).detach()
    step = scale * rayleigh(eps)
    log_w, (plus, minus, far) = _log_w(log_p, q, z, [loc + step, loc - step, loc + scale * maxwell(eps)])
    part = shares(bound, log_w)[..., None]
    loc_slope = (part * difference(plus, minus) / (scale * math.sqrt(2 * math.pi))).sum(0)
    scale_slope = (part * difference(far, log_w.detach()[..., None])).sum(0)
    return apply_bound(bound, log_w) + carry((loc_slope * q.loc + scale_slope * bounded(q.log_scale)).sum(-1))


def _log_w(log_p: LogDensity, q: Bernoulli | DiagNormal, z: Tensor, swaps: list[Tensor]) -> tuple[Tensor, list[Tensor]]:
    """log_w at z, (s, n), and detached with each component in turn taken from each of the swaps, (s, n, d)."""
    stopped = trees.stop(q)
    one = torch.eye(z.shape[-1], dtype=torch.bool, device=z.device)[:, None, None]
    swapped = torch.stack([torch.where(one, swap.to(z.dtype), z) for swap in swaps]).flatten(0, 2)
    with torch.no_grad():
        others = density(log_p, swapped) - stopped.log_prob(swapped)
    parts = others.detach().unflatten(0, (len(swaps), z.shape[-1], len(z))).movedim(1, -1)
    return density(log_p, z) - stopped.log_prob(z), list(parts)

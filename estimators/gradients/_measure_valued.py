"""Measure-valued gradients: the derivative of a density as a difference of two densities.

Approximates  grad E_q[log p(x, z) - log q(z | x)]
With          d E_q[f] / d parameter = c (E_{q+}[f] - E_{q-}[f]), one component of z at a time, the others as sampled,
              from q.weak_derivatives(noise). Bernoulli: z_i = 1 less z_i = 0, c = p (1 - p). Normal: in loc between
              loc ± scale w, w Rayleigh, c = scale^-1 (2 pi)^-1/2; in log_scale between loc + scale m, m double-sided
              Maxwell, and z itself, c = 1
Requires      a q with weak derivatives: Bernoulli and DiagNormal; no gradient of log_p in z
Unbiased when always
Cost          2 d + 1 evaluations of log_p per sample for a Bernoulli, 3 d + 1 for a normal
Reference     Pflug, 1996; Rosca et al., 2019, measure-valued derivatives; Mohamed et al., 2020
"""

import torch
from einops import rearrange
from jaxtyping import Float
from torch import Tensor

from jensen.core import bounds, trees
from jensen.core.checks import check_floating
from jensen.core.contracts import Bound, LogDensity, MeasureValued
from jensen.estimators.gradients import catalogue
from jensen.estimators.gradients.contract import apply_bound, carry, difference, log_ratio, shares, sizes


def measure_valued(
    log_p: LogDensity, q: MeasureValued, noise: Float[Tensor, "s n d"], /, *, bound: Bound = bounds.elbo
) -> Float[Tensor, " n"]:
    """The ELBO in nats per datum at z = q.sample(noise), (n,). TypeError for other q, ValueError for another bound."""
    catalogue.check("measure_valued", q, bound, *sizes(noise))
    check_floating("noise", noise, "s n d", "draw q.noise(key, s)")
    z, derivatives = q.sample(noise).detach(), q.weak_derivatives(noise)
    log_w = log_ratio(log_p, trees.stop(q), z)
    itself, share = log_w.detach()[..., None], shares(bound, log_w)[..., None]
    swaps = [swap for each in derivatives for swap in (each.plus, each.minus) if swap is not None]
    swapped = iter(_log_w_of_swaps(log_p, q, z, torch.stack(swaps)))
    surrogate = torch.zeros_like(log_w[0])
    for parameter, constant, _, minus in derivatives:
        gap = difference(next(swapped), itself if minus is None else next(swapped))
        surrogate = surrogate + (constant * (share * gap).sum(0) * carry(parameter)).sum(-1)
    return apply_bound(bound, log_w) + carry(surrogate)


def _log_w_of_swaps(
    log_p: LogDensity, q: MeasureValued, z: Float[Tensor, "s n d"], swaps: Float[Tensor, "m s n d"]
) -> Float[Tensor, "m s n d"]:
    """log_w, detached, with each component of z in turn taken from each of the m swaps."""
    one = torch.eye(z.shape[-1], dtype=torch.bool, device=z.device)[:, None, None]
    swapped = torch.where(one, swaps[:, None].to(z.dtype), z)
    flat = rearrange(swapped, "m i s n d -> (m i s) n d")
    with torch.no_grad():
        log_w = log_ratio(log_p, trees.stop(q), flat)
    return rearrange(log_w.detach(), "(m i s) n -> m s n i", m=len(swaps), s=len(z))

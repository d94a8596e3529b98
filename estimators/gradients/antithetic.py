"""Antithetic gradients: differences of log_w between coupled samples of a discrete q.

Approximates  grad E_q[f], f = log_w = log p(x, z) - log q(z | x)
With          z from u and z' from 1 - u: (f(z') - f(z)) (u - 1/2) (`arm`), for u that z = 1 lies below, and its mean
              given the pair (z, z') alone (`disarm`); for k-way q all pairs of categories exchange their noise (`arsm`)
Requires      a Bernoulli q (`arm`, `disarm`), a categorical q (`arsm`); no gradient of log_p in z
Unbiased when always
Cost          two evaluations of log_p per sample; `arsm` k (k - 1) / 2 + 1
Reference     Yin and Zhou, 2019; Dong et al., 2020, and Yin et al., 2020, who call it U2G; Yin et al., 2019
"""

from itertools import combinations

import torch
from einops import rearrange
from jaxtyping import Float
from torch import Tensor

from jensen.core import bounds, trees
from jensen.core.checks import check_floating
from jensen.core.contracts import Bound, LogDensity
from jensen.core.distributions import Bernoulli, Categorical
from jensen.core.distributions.shapes import check_value
from jensen.core.distributions.uniform import exponential
from jensen.estimators.gradients import catalogue
from jensen.estimators.gradients.contract import (
    apply_bound,
    carry,
    difference,
    log_ratio,
    over_events,
    shares,
    sizes,
    weighted,
)


def arm(
    log_p: LogDensity, q: Bernoulli, noise: Float[Tensor, "s n d"], /, *, bound: Bound = bounds.elbo
) -> Float[Tensor, " n"]:
    """Augment-REINFORCE-merge: the ELBO in nats per datum at z, (n,), with the gradient of the pair.

    TypeError for a q that is no Bernoulli, ValueError for another bound.
    """
    catalogue.check("arm", q, bound, *sizes(noise))
    check_floating("noise", noise, "s n d", "draw q.noise(key, s)")
    z, other = q.sample(noise), q.sample(1 - noise)
    rises = torch.where(q.logits > 0, 1 - noise, noise)  # z is 1 below P(1) of it
    return _of_pair(log_p, q, z, other, rises - 0.5, bound)


def disarm(
    log_p: LogDensity, q: Bernoulli, noise: Float[Tensor, "s n d"], /, *, bound: Bound = bounds.elbo
) -> Float[Tensor, " n"]:
    """DisARM, also U2G: as `arm`, averaged over the noise that gives (z, z')."""
    catalogue.check("disarm", q, bound, *sizes(noise))
    check_floating("noise", noise, "s n d", "draw q.noise(key, s)")
    z, other = q.sample(noise), q.sample(1 - noise)
    return _of_pair(log_p, q, z, other, 0.5 * (other - z) * torch.sigmoid(q.logits.abs()), bound)


def arsm(
    log_p: LogDensity, q: Categorical, noise: Float[Tensor, "s n d k"], /, *, bound: Bound = bounds.elbo
) -> Float[Tensor, " n"]:
    """Augment-REINFORCE-swap-merge: the ELBO in nats per datum at z, (n,).

    With e = log(1 - noise) / sum_k log(1 - noise), z = argmin_k e_k / q_k; z^(cj) is z after e_c and e_j trade places,
    in every dimension at once. d / d logits_c = sum_j (f(z^(cj)) - mean_m f(z^(mj))) (1 / k - e_j). TypeError for a q
    that is not categorical, ValueError for another bound.
    """
    catalogue.check("arsm", q, bound, *sizes(noise))
    check_floating("noise", noise, "s n d k", "draw q.noise(key, s)")
    check_value(noise, q.logits)
    k, s = q.logits.shape[-1], len(noise)
    pairs = [(0, 0), *combinations(range(k), 2)]
    orders = torch.arange(k, device=noise.device).repeat(len(pairs), 1)
    place = torch.zeros(k, k, dtype=torch.int64, device=noise.device)
    for i, (c, j) in enumerate(pairs):
        orders[i, c], orders[i, j] = j, c
        place[c, j] = place[j, c] = i
    place.fill_diagonal_(0)
    z = torch.cat([q.sample(noise[..., order]) for order in orders])
    log_w = log_ratio(log_p, trees.stop(q), z)
    f = rearrange(log_w.detach(), "(pair s) n -> pair s n", s=s)[place]  # (k, k, s, n)
    gap = difference(f, f.mean(0))
    e = exponential(noise)
    part = shares(bound, log_w[:s])
    slope = torch.einsum("sn,cjsn,sndj->ndc", part, gap, 1 / k - e / e.sum(-1, keepdim=True))
    of_theta = weighted(part.repeat(len(pairs), 1) / len(pairs), log_w)
    return apply_bound(bound, log_w[:s].detach()) + carry(of_theta + (slope * carry(q.logits)).sum((-2, -1)))


def _of_pair(log_p: LogDensity, q: Bernoulli, z: Tensor, other: Tensor, weight: Tensor, bound: Bound) -> Tensor:
    """The ELBO at z with q's gradient sum_s u_s (f(other) - f(z)) weight, and log_p's from both."""
    both = torch.cat([z, other])
    log_w = log_ratio(log_p, trees.stop(q), both)
    first, second = log_w.detach().chunk(2)
    part = shares(bound, first)
    slope = (over_events(part * difference(second, first), weight) * weight).sum(0).detach()
    of_theta = weighted(torch.cat([part, part]) / 2, log_w)
    return apply_bound(bound, first) + carry(of_theta + (slope * carry(q.logits)).sum(-1))

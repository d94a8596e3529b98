"""Differences of log_w between coupled samples of a discrete q.

Approximates  grad E_q[log p(x, z) - log q(z | x)]
With          z from u and z' from 1 - u: (f(z') - f(z)) (u - 1/2) (`arm`), and its mean given the pair (z, z') alone
              (`disarm`); for k-way q all pairs of categories exchange their noise (`arsm`)
Requires      a Bernoulli q (`arm`, `disarm`), a categorical q (`arsm`); no gradient of log_p in z
Unbiased when always
Cost          two evaluations of log_p per sample; `arsm` k (k - 1) / 2 + 1
Reference     Yin and Zhou, 2019; Dong et al., 2020, and Yin et al., 2020, who call it U2G; Yin et al., 2019
"""

from itertools import combinations

import torch
from jaxtyping import Float
from torch import Tensor

from jensen.core import bounds, trees
from jensen.core.distributions import Bernoulli, Categorical
from jensen.core.distributions.shapes import check_value
from jensen.estimators.gradients.contract import LogDensity, carry, density, difference, over_events, require_bernoulli


def arm(log_p: LogDensity, q: Bernoulli, u: Float[Tensor, "s n d"]) -> Float[Tensor, " n"]:
    """Augment-REINFORCE-merge: the ELBO in nats per datum at z, (n,), with the gradient of the pair.

    TypeError for a q that is no Bernoulli.
    """
    require_bernoulli("arm", q)
    z, other = q.sample(u), q.sample(1 - u)
    return _of_pair(log_p, q, z, other, u - 0.5)


def disarm(log_p: LogDensity, q: Bernoulli, u: Float[Tensor, "s n d"]) -> Float[Tensor, " n"]:
    """DisARM, also U2G: as `arm`, without the noise of u within (z, z'). TypeError for a q that is no Bernoulli."""
    require_bernoulli("disarm", q)
    z, other = q.sample(u), q.sample(1 - u)
    return _of_pair(log_p, q, z, other, 0.5 * (other - z) * torch.sigmoid(q.logits.abs()))


def arsm(log_p: LogDensity, q: Categorical, u: Float[Tensor, "s n d k"]) -> Float[Tensor, " n"]:
    """Augment-REINFORCE-swap-merge: the ELBO in nats per datum at z, (n,). TypeError for a q that is not categorical.

    With e = -log u / sum_k -log u, z = argmin_k e_k / q_k; z^(cj) is z after e_c and e_j trade places, in every
    dimension at once. d / d logits_c = sum_j (f(z^(cj)) - mean_m f(z^(mj))) (1 / k - e_j).
    """
    if not isinstance(q, Categorical):
        raise TypeError(f"arsm needs a categorical q, got {type(q).__name__}: use disarm for a Bernoulli one, or score")
    check_value(u, q.logits)
    k, s = q.logits.shape[-1], len(u)
    pairs = [(0, 0), *combinations(range(k), 2)]
    orders = torch.arange(k, device=u.device).repeat(len(pairs), 1)
    place = torch.zeros(k, k, dtype=torch.int64, device=u.device)
    for i, (c, j) in enumerate(pairs):
        orders[i, c], orders[i, j] = j, c
        place[c, j] = place[j, c] = i
    place.fill_diagonal_(0)
    z = torch.cat([q.sample(u[..., order]) for order in orders])
    log_w = density(log_p, z) - trees.stop(q).log_prob(z)
    f = log_w.detach().unflatten(0, (len(pairs), s))[place]  # (k, k, s, n)
    gap = difference(f, f.mean(0))
    e = -torch.log(u.clamp_min(torch.finfo(u.dtype).tiny))
    slope = torch.einsum("cjsn,sndj->ndc", gap, 1 / k - e / e.sum(-1, keepdim=True)) / s
    return bounds.elbo(log_w[:s].detach()) + carry(bounds.elbo(log_w) + (slope * carry(q.logits)).sum((-2, -1)))


def _of_pair(log_p: LogDensity, q: Bernoulli, z: Tensor, other: Tensor, weight: Tensor) -> Tensor:
    """The ELBO at z with q's gradient mean_s (f(other) - f(z)) weight, and log_p's from both."""
    both = torch.cat([z, other])
    log_w = density(log_p, both) - trees.stop(q).log_prob(both)
    first, second = log_w.detach().chunk(2)
    slope = (over_events(difference(second, first), weight) * weight).mean(0).detach()
    return bounds.elbo(first) + carry(bounds.elbo(log_w) + (slope * carry(q.logits)).sum(-1))

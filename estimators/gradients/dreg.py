"""Doubly reparameterised gradients of multi-sample bounds.

Approximates  grad E_q[bound(log_w)], log_w = log p(x, z) - log q(z | x)
With          z = q.sample(eps), u = d bound / d log_w and h = the diagonal of d^2 bound / d log_w^2:
              sum_s u_s grad_theta log_w_s for what log_p is made of, and
              sum_s (u_s - h_s) (d log_w_s / d z_s) (d z_s / d phi) for q's parameters.
              For IWAE u = w, the normalised weights, and u - h = w^2; the term that plain pathwise adds,
              -sum_s u_s grad_phi log q(z_s), is reparameterised a second time into -h on the path
Requires      a reparameterised q, at least two samples, a twice differentiable bound
Unbiased when always, for the bound at this number of samples, for theta and phi each
Cost          one backward pass through log_p per sample, and one more evaluation of log_p without gradients
Reference     Tucker et al., 2019; for several layers and other bounds Bauer and Mnih, 2021
"""

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from jensen.core import bounds, trees
from jensen.estimators.gradients.contract import (
    Bound,
    LogDensity,
    carry,
    check_bound,
    density,
    require_path,
    scaled,
    weighted,
)


def dreg(log_p: LogDensity, q: Any, eps: Float[Tensor, "s n *d"], bound: Bound = bounds.iwae) -> Float[Tensor, " n"]:
    """bound(log_w) in nats per datum, (n,), with the doubly reparameterised gradient.

    A hierarchical q needs nothing special: its layers are one joint sample, and parameters of every layer are
    stopped inside its density. The gradient is 0 for an exact posterior; near one, or with many samples, its variance
    is far below `pathwise`'s, and its signal does not fade as samples are added; far from one it can be noisier.

    TypeError for a discrete q. ValueError for one sample or the ELBO, for which it is `stl`, and for `vr_max`, whose
    slope jumps where another particle becomes the largest.
    """
    check_bound(bound)
    require_path(q)
    if bound is bounds.vr_max:
        raise ValueError("dreg needs a twice differentiable bound, and vr_max has a kink: use pathwise")
    if len(eps) < 2 or bound is bounds.elbo:
        raise ValueError("dreg is for bounds of at least two samples: for the ELBO, or one sample, use stl")
    z, frozen = q.sample(eps), trees.stop(q)
    with torch.no_grad():
        log_w = density(log_p, z) - frozen.log_prob(z)
    u, path = bounds.slopes(bound, log_w.detach())
    z = scaled(z, path)
    log_w = density(log_p, z) - frozen.log_prob(z)
    return bound(log_w.detach()) + carry(weighted(u, log_w))

"""Pathwise gradients: differentiate through the sample.

Approximates  grad E_q[bound(log p(x, z) - log q(z | x))]
With          z = q.sample(eps), differentiated in q's parameters as well as through both densities
Requires      a reparameterised q: DiagNormal, ContinuousBernoulli
Unbiased when always, for the bound at this number of samples
Cost          one backward pass through log_p per sample
Reference     Kingma and Welling, 2014; Rezende et al., 2014; for several samples Burda et al., 2016
"""

from collections.abc import Callable
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from jensen.core import bounds
from jensen.core.distributions import DiagNormal

LogDensity = Callable[[Tensor], Tensor]  # z (s, n, d) -> (s, n)
Bound = Callable[[Tensor], Tensor]  # log_w (s, n) -> (n,)


def pathwise(
    log_p: LogDensity, q: Any, eps: Float[Tensor, "s n *d"], bound: Bound = bounds.elbo
) -> Float[Tensor, " n"]:
    """bound(log_w) with log_w = log_p(z) - q.log_prob(z) and z = q.sample(eps), in nats per datum: (n,).

    TypeError for a discrete q, whose samples have no path.
    """
    return bound(log_weights(log_p, q, eps))


def log_weights(log_p: LogDensity, q: Any, eps: Float[Tensor, "s n *d"]) -> Float[Tensor, "s n"]:
    """log_w = log_p(z) - q.log_prob(z) with z = q.sample(eps), (s, n)."""
    require_path(q)
    z = q.sample(eps)
    log_p_z, log_q_z = log_p(z), q.log_prob(z)
    check_density(log_p_z, log_q_z.shape)
    return log_p_z - log_q_z


def analytic_kl(
    log_likelihood: LogDensity,
    q: DiagNormal,
    prior: DiagNormal,
    eps: Float[Tensor, "s n d"],
    kl_weight: float | Tensor = 1.0,
    free_bits: float | Tensor = 0.0,
) -> tuple[Float[Tensor, " n"], Float[Tensor, " n"], Float[Tensor, " n"]]:
    """The ELBO with its KL in closed form: (bound, reconstruction, KL), each (n,), in nats per datum.

    reconstruction = mean_s log_likelihood(z), KL = KL(q || prior), and
    bound = reconstruction - kl_weight * bounds.free_bits(KL per dimension, free_bits),
    which is reconstruction - KL for the defaults. Less noisy than `pathwise` by the KL's own sampling noise
    (Kingma and Welling, 2014, estimator B).
    """
    require_path(q)
    z = q.sample(eps)
    log_likelihood_z = log_likelihood(z)
    check_density(log_likelihood_z, z.shape[:2])
    reconstruction = log_likelihood_z.mean(0)
    per_dimension = q.kl_per_dimension(prior)
    charged = bounds.free_bits(per_dimension, free_bits)
    return reconstruction - kl_weight * charged, reconstruction, per_dimension.sum(-1)


def check_density(value: Tensor, shape: torch.Size) -> None:
    if value.shape != shape:
        raise ValueError(
            f"expected a log density {tuple(shape)}, one value per sample and datum, got {tuple(value.shape)}: "
            "sum over event axes, and over no other"
        )


def require_path(q: Any) -> None:
    if not q.reparameterised:
        raise TypeError(
            f"pathwise gradients need a reparameterised q, and {type(q).__name__} is discrete: "
            "use a score-function estimator, or enumerate q.support()"
        )

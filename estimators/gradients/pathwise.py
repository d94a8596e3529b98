"""Pathwise gradients: differentiate through the sample.

Approximates  grad E_q[bound(log p(x, z) - log q(z | x))]
With          z = q.sample(eps), differentiated in q's parameters as well as through both densities (`pathwise`,
              `analytic_kl`), or through the densities' argument alone (`stl`)
Requires      a reparameterised q: DiagNormal, FullNormal, ContinuousBernoulli, Gamma, Beta, Dirichlet, a Pushforward
              of these, a Hierarchical of two of one family with fields (n, d) alone
Unbiased when always, for the bound at this number of samples; `stl` for the ELBO alone
Cost          one backward pass through log_p per sample
Reference     Kingma and Welling, 2014; Rezende et al., 2014; for several samples Burda et al., 2016; `stl` Roeder et
              al., 2017; for gammas the implicit gradient of Figurnov et al., 2018
"""

from typing import Any

from jaxtyping import Float
from torch import Tensor

from jensen.core import bounds, trees
from jensen.core.distributions import DiagNormal
from jensen.estimators.gradients.contract import Bound, LogDensity, check_bound, density, require_path


def pathwise(
    log_p: LogDensity, q: Any, eps: Float[Tensor, "s n *d"], bound: Bound = bounds.elbo
) -> Float[Tensor, " n"]:
    """bound(log_w) with log_w = log_p(z) - q.log_prob(z) and z = q.sample(eps), in nats per datum: (n,).

    TypeError for a discrete q, whose samples have no path.
    """
    check_bound(bound)
    return bound(log_weights(log_p, q, eps))


def stl(log_p: LogDensity, q: Any, eps: Float[Tensor, "s n *d"], bound: Bound = bounds.elbo) -> Float[Tensor, " n"]:
    """Sticking the landing: log_w = log_p(z) - stop(q).log_prob(z), so that q's parameters act through z alone.

    What is left out, the score of q, has mean 0 for the ELBO; the gradient of an exact posterior is then 0 for every
    sample. For several samples it has another mean: there use `dreg`. With `bounds.TailAdaptive` it is the
    tail-adaptive gradient. TypeError for a discrete q.
    """
    check_bound(bound)
    require_path(q)
    z = q.sample(eps)
    return bound(density(log_p, z) - trees.stop(q).log_prob(z))


def log_weights(log_p: LogDensity, q: Any, eps: Float[Tensor, "s n *d"]) -> Float[Tensor, "s n"]:
    """log_w = log_p(z) - q.log_prob(z) with z = q.sample(eps), (s, n)."""
    require_path(q)
    z = q.sample(eps)
    return density(log_p, z) - q.log_prob(z)


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
    (Kingma and Welling, 2014, estimator B). TypeError for another q.
    """
    if not isinstance(q, DiagNormal):
        raise TypeError(f"analytic_kl needs a DiagNormal q, got {type(q).__name__}: use pathwise or stl")
    reconstruction = density(log_likelihood, q.sample(eps)).mean(0)
    per_dimension = q.kl_per_dimension(prior)
    charged = bounds.free_bits(per_dimension, free_bits)
    return reconstruction - kl_weight * charged, reconstruction, per_dimension.sum(-1)

"""Pathwise gradients, through the sample: the reparameterisation trick.

Approximates  grad E_q[bound(log_w)], log_w = log p(x, z) - log q(z | x)
With          z = q.sample(noise), differentiated in q's parameters as well as through both densities (`pathwise`,
              `analytic_kl`), or through the densities' argument alone (`stl`)
Requires      a reparameterised q
Unbiased when always, for the bound at this number of samples; `stl` and `analytic_kl` for the ELBO alone
Cost          one backward pass through log_p per sample
Reference     Kingma and Welling, 2014; Rezende et al., 2014; for several samples Burda et al., 2016; `stl` Roeder et
              al., 2017; for gammas the implicit gradient of Figurnov et al., 2018
"""

from jaxtyping import Float
from torch import Tensor

from jensen.core import bounds
from jensen.core.checks import check_distribution
from jensen.core.contracts import Bound, ClosedForm, Distribution, LogDensity, Noise
from jensen.estimators.gradients import catalogue
from jensen.estimators.gradients.contract import (
    apply_bound,
    carry,
    density,
    sample_with_density,
    sample_with_path,
    shares,
    sizes,
    weighted,
)


def pathwise(log_p: LogDensity, q: Distribution, noise: Noise, /, *, bound: Bound = bounds.elbo) -> Float[Tensor, " n"]:
    """bound(log_w) in nats per datum, (n,), with log_w = log_p(z) - q.log_prob(z) and z = q.sample(noise).

    TypeError for a discrete q, whose samples are not differentiable.
    """
    catalogue.check("pathwise", q, bound, *sizes(noise))
    return apply_bound(bound, log_weights(log_p, q, noise))


def stl(log_p: LogDensity, q: Distribution, noise: Noise, /, *, bound: Bound = bounds.elbo) -> Float[Tensor, " n"]:
    """Sticking the landing: the ELBO in nats per datum, (n,), of log_w = log_p(z) - stop(q).log_prob(z).

    The score of q, which is left out, has mean 0 for the ELBO; the gradient is then 0 for every sample of an exact
    posterior. For other bounds the score's mean is not 0: use `dreg`. For a `Scored` q, such as a flow, once
    differentiable. TypeError for a discrete q, ValueError for a bound that is not additive.
    """
    catalogue.check("stl", q, bound, *sizes(noise))
    z, log_q = sample_with_path(q, noise)
    log_q_z = log_q(z)
    log_w = density(log_p, z) - log_q_z
    return apply_bound(bound, log_w.detach()) + carry(weighted(shares(bound, log_w), log_w))


def analytic_kl(
    log_likelihood: LogDensity,
    q: ClosedForm,
    noise: Noise,
    /,
    *,
    prior: ClosedForm,
    bound: Bound = bounds.elbo,
) -> Float[Tensor, " n"]:
    """The ELBO with its KL in closed form: bound(log_likelihood(z)) - KL(q || prior) in nats per datum, (n,).

    Estimator B of Kingma and Welling (2014), without the sampling noise of the KL. Weighted and free-bits KLs are in
    `core.objectives`. TypeError for a q without a KL in closed form, or a prior of another family.
    """
    catalogue.check("analytic_kl", q, bound, *sizes(noise))
    check_distribution("prior", prior)
    if type(prior) is not type(q):
        raise TypeError(
            f"analytic_kl needs a prior of q's family {type(q).__name__}, got {type(prior).__name__}: "
            "use pathwise or stl"
        )
    kl, (s, n) = q.kl(prior), sizes(noise)
    if kl.shape != (n,):
        raise ValueError(
            f"expected noise (s, {len(kl)}, ...) for a KL ({len(kl)},), got ({s}, {n}, ...): draw q.noise(key, s)"
        )
    log_p = density(log_likelihood, q.sample(noise), "log_likelihood")
    return apply_bound(bound, log_p.detach()) + carry(weighted(shares(bound, log_p), log_p)) - kl


def log_weights(log_p: LogDensity, q: Distribution, noise: Noise, /) -> Float[Tensor, "s n"]:
    """log_w = log_p(z) - q.log_prob(z) with z = q.sample(noise), (s, n)."""
    catalogue.check("pathwise", q, bounds.iwae, *sizes(noise))
    z, log_q = sample_with_density(q, noise)
    return density(log_p, z) - log_q

"""Reweighted wake-sleep: theta by importance weights, phi by maximum likelihood on weighted samples.

Approximates  `wake_theta`: the bound's gradient in theta; `wake_phi`: -grad KL(p(z | x) || q) in phi; `sleep_phi`: the
              same, averaged over data drawn from the model
With          sum_s u_s grad log p(x, z_s), sum_s u_s grad log q(z_s | x), u = d bound / d log_w, for IWAE the
              normalised weights; grad log q(z | x) for z, x drawn from the model. Samples are detached
Requires      a q with a log density: any, discrete or not; no gradient of log_p in z
Unbiased when `wake_theta`: always, for the bound; `wake_phi`: as s -> infinity, for IWAE, with a bias of order 1 / s;
              `sleep_phi`: always, for its own objective
Cost          one evaluation of log_p per sample, differentiated in theta alone; the signal-to-noise ratio of phi's
              gradient does not fall as samples are added
Reference     Bornschein and Bengio, 2015; Le et al., 2019
"""

from jaxtyping import Float
from torch import Tensor

from jensen.core import bounds, trees
from jensen.core.checks import check_distribution, check_floating
from jensen.core.contracts import Bound, Distribution, Event, LogDensity, Noise
from jensen.estimators.gradients import catalogue
from jensen.estimators.gradients.contract import (
    apply_bound,
    carry,
    check_density,
    density,
    first,
    sample_with_score,
    sizes,
    weighted,
)


def wake(log_p: LogDensity, q: Distribution, noise: Noise, /, *, bound: Bound = bounds.iwae) -> Float[Tensor, " n"]:
    """The bound in nats per datum, (n,), with the gradients of `wake_theta` and `wake_phi` from the same samples."""
    catalogue.check("wake", q, bound, *sizes(noise))
    log_w, log_q, weights = _samples(log_p, q, noise, bound)
    return apply_bound(bound, log_w.detach()) + carry(weighted(weights, log_w)) + carry(weighted(weights, log_q))


def wake_theta(
    log_p: LogDensity, q: Distribution, noise: Noise, /, *, bound: Bound = bounds.iwae
) -> Float[Tensor, " n"]:
    """The bound in nats per datum, (n,), with a gradient for theta, and none for q."""
    catalogue.check("wake_theta", q, bound, *sizes(noise))
    log_w, _, weights = _samples(log_p, q, noise, bound)
    return apply_bound(bound, log_w.detach()) + carry(weighted(weights, log_w))


def wake_phi(log_p: LogDensity, q: Distribution, noise: Noise, /, *, bound: Bound = bounds.iwae) -> Float[Tensor, " n"]:
    """The bound in nats per datum, (n,), with a gradient for q, and none for theta.

    ValueError for one sample, or an additive bound: the weights would be constant, and the gradient a score of mean 0.
    """
    catalogue.check("wake_phi", q, bound, *sizes(noise))
    log_w, log_q, weights = _samples(log_p, q, noise, bound)
    return apply_bound(bound, log_w.detach()) + carry(weighted(weights, log_q))


def sleep_phi(q: Distribution, z: Event) -> Float[Tensor, " n"]:
    """log q(z | x) in nats per datum, (n,), for z and x drawn from the model, z (n, *event), and q = posterior(x)."""
    check_distribution("q", q)
    t = first(z)
    check_floating("z", t, "n *event", "draw z and x from the model")
    log_q = q.log_prob(trees.map(lambda t: t.detach()[None], z))
    check_density(log_q, t[None].shape[:2], "q.log_prob(z)")
    return log_q[0]


def _samples(log_p: LogDensity, q: Distribution, noise: Noise, bound: Bound) -> tuple[Tensor, Tensor, Tensor]:
    """log_w, with theta's gradient, log q, with phi's, and the weights, (s, n) each."""
    z, log_q = sample_with_score(q, noise)
    log_w = density(log_p, z) - log_q.detach()
    return log_w, log_q, bounds.derivatives(bound, log_w.detach())[0]

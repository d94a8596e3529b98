"""Reweighted wake-sleep: the model by importance weights, the posterior by maximum likelihood on weighted samples.

Approximates  `wake_theta`: grad log p(x), as IWAE does; `wake_phi`: -grad KL(p(z | x) || q); `sleep_phi`: the same
              KL averaged over the model's own data
With          sum_s w_s grad log p(x, z_s), sum_s w_s grad log q(z_s | x), w the normalised weights; grad log q(z | x)
              for z, x drawn from the model. Samples are held fixed
Requires      a q with a log density: any, discrete or not; no gradient of log_p in z
Unbiased when `wake_theta`: always, for the IWAE bound; `wake_phi`: as s -> infinity, its bias falls as 1 / s;
              `sleep_phi`: always, for its own objective
Cost          one evaluation of log_p per sample, differentiated in its own parameters alone; no score of a bound, so
              the gradient of q does not fade as samples are added
Reference     Bornschein and Bengio, 2015; Le et al., 2019
"""

from typing import Any

from jaxtyping import Float
from torch import Tensor

from jensen.core import bounds, trees
from jensen.estimators.gradients.contract import LogDensity, carry, density, weighted


def wake(log_p: LogDensity, q: Any, noise: Float[Tensor, "s n *d"]) -> Float[Tensor, " n"]:
    """The IWAE bound in nats per datum, (n,), with the gradients of `wake_theta` and `wake_phi` from one sampling."""
    z, log_w, weights = _samples(log_p, q, noise, 2)
    return bounds.iwae(log_w.detach()) + carry(weighted(weights, log_w)) + carry(weighted(weights, q.log_prob(z)))


def wake_theta(log_p: LogDensity, q: Any, noise: Float[Tensor, "s n *d"]) -> Float[Tensor, " n"]:
    """The IWAE bound in nats per datum, (n,), with gradients for what log_p is made of, and none for q."""
    _, log_w, weights = _samples(log_p, q, noise)
    return bounds.iwae(log_w.detach()) + carry(weighted(weights, log_w))


def wake_phi(log_p: LogDensity, q: Any, noise: Float[Tensor, "s n *d"]) -> Float[Tensor, " n"]:
    """The IWAE bound in nats per datum, (n,), with gradients for q, and none for what log_p is made of.

    With one sample the weight is 1 and the gradient a score, whose mean is 0: ValueError.
    """
    z, log_w, weights = _samples(log_p, q, noise, 2)
    return bounds.iwae(log_w.detach()) + carry(weighted(weights, q.log_prob(z)))


def sleep_phi(q: Any, z: Float[Tensor, "n *d"]) -> Float[Tensor, " n"]:
    """log q(z | x) in nats per dream, (n,), for dreams z, x of the model, and q = posterior(x) of the dreamt x."""
    return q.log_prob(z.detach()[None])[0]


def _samples(log_p: LogDensity, q: Any, noise: Tensor, least: int = 1) -> tuple[Tensor, Tensor, Tensor]:
    if len(noise) < least:
        raise ValueError("wake_phi needs at least two samples, got one: draw more, or use sleep_phi")
    z = q.sample(noise).detach()
    log_w = density(log_p, z) - trees.stop(q).log_prob(z)
    return z, log_w, bounds.slopes(bounds.iwae, log_w.detach())[0]

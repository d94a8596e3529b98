"""Continuous relaxations of a discrete sample: gradients biased for phi, q's parameters, and not for theta, log_p's.

Approximates  grad E_q[bound(log p(x, z) - log q(z | x))]
With          the discrete z for the value and for theta; for phi, d bound / d y times grad y at a surrogate y of z:
              y = z with the gradient of q.mean() (`straight_through`), y relaxed by a temperature (`concrete`), or z
              with the gradient of the relaxed y (`gumbel_straight_through`)
Requires      a q that can be relaxed, as Bernoulli and Categorical, and a log_p defined between the values of z and
              differentiable there
Unbiased when log_p - log q is linear in each z (`straight_through`); in the limit temperature -> 0, where the variance
              grows without bound (`concrete`); never in general
Cost          one evaluation of log_p per sample, differentiated in z; `concrete` one at z and one at y
Reference     Bengio et al., 2013; Maddison et al., 2017; Jang et al., 2017
"""

import torch
from jaxtyping import Float
from torch import Tensor

from jensen.core import bounds, trees
from jensen.core.bounds.derivatives import checked
from jensen.core.checks import check_number
from jensen.core.concrete import is_concrete
from jensen.core.contracts import Bound, LogDensity, Noise, Relaxable
from jensen.estimators.gradients import catalogue
from jensen.estimators.gradients.contract import apply_bound, carry, event_sum, log_ratio, sizes


def straight_through(
    log_p: LogDensity, q: Relaxable, noise: Noise, /, *, bound: Bound = bounds.elbo
) -> Float[Tensor, " n"]:
    """bound(log_w) in nats per datum, (n,), with the derivative of q.mean() in place of that of z."""
    catalogue.check("straight_through", q, bound, *sizes(noise))
    return _through(log_p, q, q.sample(noise) + carry(q.mean()), bound)


def gumbel_straight_through(
    log_p: LogDensity,
    q: Relaxable,
    noise: Noise,
    /,
    *,
    bound: Bound = bounds.elbo,
    temperature: float | Tensor = 1.0,
) -> Float[Tensor, " n"]:
    """bound(log_w) in nats per datum, (n,), with the derivative of the relaxed sample in place of that of z."""
    catalogue.check("gumbel_straight_through", q, bound, *sizes(noise))
    check_temperature(temperature)
    z = q.sample(noise)
    return _through(log_p, q, z + carry(q.relaxed(q.perturbed(noise), temperature)).to(z.dtype), bound)


def concrete(
    log_p: LogDensity,
    q: Relaxable,
    noise: Noise,
    /,
    *,
    bound: Bound = bounds.elbo,
    temperature: float | Tensor = 0.5,
) -> Float[Tensor, " n"]:
    """bound(log_w) at the discrete z in nats per datum, (n,), with q's gradient from the relaxed y of the same noise.

    y = q.relaxed(q.perturbed(noise), temperature) rounds to z. A temperature may be a 0-d tensor, as schedules give.
    """
    catalogue.check("concrete", q, bound, *sizes(noise))
    check_temperature(temperature)
    z, stopped = q.sample(noise), trees.stop(q)
    y = q.relaxed(q.perturbed(noise), temperature).to(z.dtype)
    log_w = log_ratio(log_p, stopped, z)
    slope = torch.func.grad(lambda y: checked(bound, log_ratio(log_p, stopped, y)).sum())(y.detach())
    return apply_bound(bound, log_w) + carry(event_sum(slope.detach() * y).sum(0))


def check_temperature(temperature: float | Tensor) -> None:
    """One number above 0, or a 0-d tensor of one."""
    if isinstance(temperature, Tensor) and temperature.ndim:
        raise ValueError(f"expected one temperature, got {tuple(temperature.shape)}: map over several with vmap")
    if not isinstance(temperature, Tensor):
        check_number("temperature", temperature, "(0, inf)", "it relaxes the sample less as it falls")
    elif is_concrete(temperature):
        check_number("temperature", float(temperature.detach()), "(0, inf)", "it relaxes the sample less as it falls")


def _through(log_p: LogDensity, q: Relaxable, z: Tensor, bound: Bound) -> Tensor:
    return apply_bound(bound, log_ratio(log_p, trees.stop(q), z))

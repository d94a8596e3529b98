"""Score-function gradients with a control variate that is itself reparameterised.

Approximates  grad E_q[log p(x, z) - log q(z | x)]
With          f(z) grad log q(z) - c(t~) grad log q(z) + grad c(t) - grad c(t~): f = log_w, z = H(t) the discrete sample
              of t = q.perturbed(u), t~ a draw of t given z, c any function. t~ is drawn by t's own noise, so that
              the two have one value and different gradients
Requires      a q that can be relaxed, as Bernoulli and Categorical; for `rebar` a log_p defined between the values of z
              and differentiable there; for `relax` a differentiable c
Unbiased when always
Cost          one evaluation of log_p per sample, and one gradient of c: `rebar`'s c is log_p once more
Reference     Tucker et al., 2017; Grathwohl et al., 2018
"""

from collections.abc import Callable

import torch
from jaxtyping import Float
from torch import Tensor

from jensen.core import bounds, trees
from jensen.core.checks import check_function, check_number
from jensen.core.contracts import Bound, LogDensity, Noise, Relaxable
from jensen.estimators.gradients import catalogue
from jensen.estimators.gradients.contract import (
    apply_bound,
    carry,
    density,
    difference,
    event_sum,
    log_ratio,
    over_events,
    shares,
    sizes,
)
from jensen.estimators.gradients.relaxation import check_temperature

Control = Callable[[Tensor], Tensor]  # t = q.perturbed(noise) (s, n, *d) -> (s, n)


def rebar(
    log_p: LogDensity,
    q: Relaxable,
    noise: Noise,
    /,
    *,
    bound: Bound = bounds.elbo,
    temperature: float | Tensor = 0.5,
    eta: float | Tensor = 1.0,
) -> Float[Tensor, " n"]:
    """The ELBO in nats per datum, (n,): `relax` with c(t) = eta log_w at t relaxed by the temperature."""
    catalogue.check("rebar", q, bound, *sizes(noise))
    return relax(log_p, q, noise, bound=bound, control=relaxed_density(log_p, q, temperature, eta))


def relax(
    log_p: LogDensity, q: Relaxable, noise: Noise, /, *, control: Control, bound: Bound = bounds.elbo
) -> Float[Tensor, " n"]:
    """The ELBO in nats per datum, (n,), with the control variate c = control.

    Parameters of control have no gradient: they minimise `second_moment`.
    """
    catalogue.check("relax", q, bound, *sizes(noise))
    z = q.sample(noise)
    log_w = log_ratio(log_p, trees.stop(q), z)
    value, slope = _at(control, q, noise)
    each = _surrogate(q, noise, z, log_w.detach(), value.detach(), slope.detach())
    return apply_bound(bound, log_w) + carry((shares(bound, log_w) * each).sum(0))


def second_moment(
    log_p: LogDensity, q: Relaxable, noise: Noise, /, *, control: Control, bound: Bound = bounds.elbo
) -> Float[Tensor, " n"]:
    """|g|^2 per datum, (n,), for g = `relax`'s gradient in q's fields: its mean is least where the variance of g is.

    Differentiable in the parameters of control alone: q and log_p are detached.
    """
    catalogue.check("relax", q, bound, *sizes(noise))
    q = trees.stop(q)
    z = q.sample(noise)
    with torch.no_grad():
        log_w = log_ratio(log_p, q, z).detach()
    value, slope = _at(control, q, noise)
    part = shares(bound, log_w)
    gradient = torch.func.grad(lambda q: (part * _surrogate(q, noise, z, log_w, value, slope)).sum())(q)
    return torch.stack([t.square().flatten(1).sum(-1) for t in trees.leaves(gradient)]).sum(0)


def relaxed_density(log_p: LogDensity, q: Relaxable, temperature: float | Tensor, eta: float | Tensor = 1.0) -> Control:
    """c(t) = eta (log_p(y) - log q(y)) with y = q.relaxed(t, temperature), q stopped."""
    catalogue.check("rebar", q)
    check_function("log_p", log_p, "partial(model.log_joint, params, x)")
    check_temperature(temperature)
    if not isinstance(eta, Tensor):
        check_number("eta", eta)
    stopped = trees.stop(q)

    def control(t: Tensor) -> Tensor:
        y = stopped.relaxed(t, temperature)
        return eta * log_ratio(log_p, stopped, y)

    return control


def _at(control: Control, q: Relaxable, noise: Noise) -> tuple[Tensor, Tensor]:
    """c and its slope at t."""
    value, pull, *_ = torch.func.vjp(lambda t: density(control, t, "control"), q.perturbed(noise).detach())
    slope = pull(torch.ones_like(value))[0]
    return value, torch.where(over_events(value == -torch.inf, slope), 0.0, slope)


def _surrogate(q: Relaxable, noise: Noise, z: Tensor, log_w: Tensor, value: Tensor, slope: Tensor) -> Tensor:
    """The surrogate whose gradient in q is each sample's estimate, (s, n)."""
    t = q.perturbed(noise)
    path = event_sum(slope * torch.where(t == -torch.inf, 0.0, t - q.perturbed_given(noise, z)))
    return difference(log_w, value) * q.log_prob(z) + path

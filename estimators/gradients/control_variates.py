"""Score-function gradients with a control variate that is itself reparameterised.

Approximates  grad E_q[log p(x, z) - log q(z | x)]
With          f(z) grad log q(z) - c(t~) grad log q(z) + grad c(t) - grad c(t~): f = log_w, z = H(t) the discrete sample
              of t = q.perturbed(u), t~ a draw of t given z, c any function. t~ is made from t's own noise, so that
              both are one number and differ in their gradients
Requires      a Bernoulli or categorical q; for `rebar` a log_p that takes values between q's and is differentiable
              there; for `relax` a differentiable c that may know nothing of log_p
Unbiased when always
Cost          one evaluation of log_p per sample, and one gradient of c: `rebar`'s c is log_p once more
Reference     Tucker et al., 2017; Grathwohl et al., 2018
"""

from collections.abc import Callable

import torch
from jaxtyping import Float
from torch import Tensor

from jensen.core import bounds, trees
from jensen.core.distributions import Bernoulli, Categorical
from jensen.estimators.gradients.contract import (
    LogDensity,
    carry,
    density,
    difference,
    event_sum,
    over_events,
    require_discrete,
)
from jensen.estimators.gradients.relaxation import check_temperature

Control = Callable[[Tensor], Tensor]  # t = q.perturbed(u) (s, n, *d) -> (s, n)


def rebar(
    log_p: LogDensity,
    q: Bernoulli | Categorical,
    u: Float[Tensor, "s n *d"],
    temperature: float | Tensor = 0.5,
    eta: float | Tensor = 1.0,
) -> Float[Tensor, " n"]:
    """The ELBO in nats per datum, (n,): `relax` with c(t) = eta log_w at t relaxed by the temperature."""
    require_discrete("rebar", q)
    return relax(log_p, q, u, relaxed_density(log_p, q, temperature, eta))


def relax(
    log_p: LogDensity, q: Bernoulli | Categorical, u: Float[Tensor, "s n *d"], control: Control
) -> Float[Tensor, " n"]:
    """The ELBO in nats per datum, (n,), with the control variate c = control.

    No gradient reaches what control is made of: minimise `second_moment` in that.
    """
    require_discrete("relax", q)
    z = q.sample(u)
    log_w = density(log_p, z) - trees.stop(q).log_prob(z)
    value, slope = _at(control, q, u)
    return bounds.elbo(log_w) + carry(_surrogate(q, u, z, log_w.detach(), value.detach(), slope.detach()))


def second_moment(
    log_p: LogDensity, q: Bernoulli | Categorical, u: Float[Tensor, "s n *d"], control: Control
) -> Float[Tensor, " n"]:
    """|g|^2 per datum, (n,), for g = `relax`'s gradient in q.logits: as its mean is fixed, least where its variance is.

    Differentiable in what control is made of, and a constant in all else: q is stopped, log_p not differentiated.
    """
    require_discrete("second_moment", q)
    q = trees.stop(q)
    z = q.sample(u)
    with torch.no_grad():
        log_w = density(log_p, z) - q.log_prob(z)
    value, slope = _at(control, q, u)
    gradient = torch.func.grad(lambda q: _surrogate(q, u, z, log_w.detach(), value, slope).sum())(q)
    return gradient.logits.square().flatten(1).sum(-1)


def relaxed_density(
    log_p: LogDensity, q: Bernoulli | Categorical, temperature: float | Tensor, eta: float | Tensor = 1.0
) -> Control:
    """c(t) = eta (log_p(y) - log q(y)) with y = q.relaxed(t, temperature), q stopped."""
    check_temperature(temperature)
    frozen = trees.stop(q)

    def control(t: Tensor) -> Tensor:
        y = frozen.relaxed(t, temperature).to(frozen.logits.dtype)
        return eta * (density(log_p, y) - frozen.log_prob(y))

    return control


def _at(control: Control, q: Bernoulli | Categorical, u: Tensor) -> tuple[Tensor, Tensor]:
    """c and its slope at t."""
    value, pull, *_ = torch.func.vjp(lambda t: density(control, t), q.perturbed(u).detach())
    slope = pull(torch.ones_like(value))[0]
    return value, torch.where(over_events(value == -torch.inf, slope), 0.0, slope)


def _surrogate(q: Bernoulli | Categorical, u: Tensor, z: Tensor, log_w: Tensor, value: Tensor, slope: Tensor) -> Tensor:
    """What has the estimate for its gradient in q, (n,)."""
    t = q.perturbed(u)
    path = event_sum(slope * torch.where(t == -torch.inf, 0.0, t - q.perturbed_given(u, z)))
    return (difference(log_w, value) * q.log_prob(z) + path).mean(0)

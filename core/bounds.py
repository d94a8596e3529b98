"""Bounds on log p(x) as functions of log weights: log_w = log p(x, z) - log q(z | x), (s, n) -> (n,), in nats.

A log weight of -inf is legal: a particle outside the support of p. Where all of a datum's particles have it, the
bound is -inf and its gradient 0. NaN is never hidden. Half precision is computed and returned in float32.
"""

import math
from collections.abc import Callable
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from jensen.core.ops.importance import log_sum_exp
from jensen.core.ops.log_scale import at_least_float32


def elbo(log_w: Float[Tensor, "s n"]) -> Float[Tensor, " n"]:
    """mean_s log_w, a lower bound for every s (Jordan et al., 1999)."""
    _check(log_w)
    return torch.where(log_w == -torch.inf, -torch.inf, at_least_float32(log_w)).mean(0)


def iwae(log_w: Float[Tensor, "s n"]) -> Float[Tensor, " n"]:
    """log mean_s exp(log_w), a lower bound that rises with s to log p(x) (Burda et al., 2016)."""
    _check(log_w)
    return log_sum_exp(at_least_float32(log_w), 0) - math.log(log_w.shape[0])


class Renyi(NamedTuple):
    """log mean_s exp((1 - alpha) log_w) / (1 - alpha), the variational Renyi bound (Li and Turner, 2016).

    alpha = 0 is `iwae`, alpha -> 1 is `elbo`; it falls as alpha rises. For alpha >= 0 it is a lower bound in
    expectation at every s; for alpha < 0 it need not be.
    """

    alpha: float

    def __call__(self, log_w: Float[Tensor, "s n"]) -> Float[Tensor, " n"]:
        _check(log_w)
        if self.alpha == 1:
            return elbo(log_w)
        power = 1 - self.alpha
        return (log_sum_exp(power * at_least_float32(log_w), 0) - math.log(log_w.shape[0])) / power


class TailAdaptive(NamedTuple):
    """mean_s log_w, with weights that follow ranks instead of values (Wang et al., 2018), for `stl`.

    d bound / d log_w_s is proportional to t_s^beta, t_s the share of samples whose weight is at least w_s: beta = -1
    favours large weights, as far as moments exist however heavy the weights' tail. Its value is the ELBO's.
    """

    beta: float = -1.0

    def __call__(self, log_w: Float[Tensor, "s n"]) -> Float[Tensor, " n"]:
        _check(log_w)
        held = log_w.detach()
        tail = (held[:, None] <= held).to(at_least_float32(log_w).dtype).mean(1)
        weights = tail**self.beta
        weights = torch.where(held == -torch.inf, 0.0, weights / weights.sum(0))
        surrogate = (weights * torch.where(weights == 0, 0.0, log_w)).sum(0)
        return elbo(held) + surrogate - surrogate.detach()


def slopes(
    bound: Callable[[Tensor], Tensor], log_w: Float[Tensor, "s n"]
) -> tuple[Float[Tensor, "s n"], Float[Tensor, "s n"]]:
    """(u, 1 - h / u), (s, n) each: u = d bound / d log_w, h the diagonal of d^2 bound / d log_w^2.

    In closed form for `elbo`, `iwae` and `Renyi`, where the second is alpha + (1 - alpha) u; differentiated for
    others, with memory (s, s, n).
    """
    first = torch.func.grad(lambda log_w: bound(log_w).sum())
    u = first(log_w)
    if bound is elbo or bound is iwae or isinstance(bound, Renyi):
        alpha = bound.alpha if isinstance(bound, Renyi) else float(bound is elbo)
        return u, alpha + (1 - alpha) * u
    units = torch.eye(len(log_w), dtype=log_w.dtype, device=log_w.device)[..., None].expand(-1, -1, log_w.shape[1])
    rows = torch.func.vmap(lambda unit: torch.func.jvp(first, (log_w,), (unit,))[1])(units)
    h = rows.diagonal(dim1=0, dim2=1).T
    return u, torch.where(u == 0, 0.0, 1 - h / torch.where(u == 0, 1.0, u))


def free_bits(kl: Float[Tensor, "n d"], floor: float | Tensor) -> Float[Tensor, " n"]:
    """The KL per datum with each dimension's charge no lower than `floor` nats on average over the data.

    sum_d of kl[:, d] where mean_n kl[:, d] > floor, else floor: the mean over n is sum_d max(floor, mean_n kl)
    (Kingma et al., 2016, equation 15, groups of one dimension). A dimension under the floor has no gradient.
    """
    return torch.where(kl.mean(0) <= floor, floor, kl).sum(-1)


def _check(log_w: Tensor) -> None:
    if log_w.ndim != 2 or log_w.shape[0] == 0:
        raise ValueError(
            f"expected log weights (s, n) with s >= 1, got {tuple(log_w.shape)}: "
            "samples come first, then data; add a missing axis with log_w[:, None] or log_w[None]"
        )

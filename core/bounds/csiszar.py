"""Bounds by f-divergences of the posterior from q, and the tail-adaptive weights of one."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from jensen.core.bounds.weights import check_log_weights, elbo, iwae
from jensen.core.checks import check_function, check_number
from jensen.core.numerics import at_least_float32


@dataclass(frozen=True)
class Csiszar:
    """iwae - mean_s f(w_s / mean w): log p(x) less the f-divergence E_q f(p(z | x) / q), self-normalised.

    f is a function of t = log of the ratio, convex in the ratio, and 0 with slope 0 at 1, so never negative: see
    `divergences.generators`. For f = generators.reverse_kl it is `elbo`, which is log p(x) - KL(q || posterior); for
    every f it is at most `iwae` of the same weights. As s -> infinity it tends to log p(x) - D_f; at small s it is
    biased, f being averaged at an estimated ratio.

    A particle outside the support contributes f(0) / s and no gradient; a datum whose divergence overflows is -inf,
    without gradient. For f = u^n the generalised mean f^-1(E f(w)) of Wan et al. (2020) is `Cubo` or `Renyi`.

    Side        lower, in expectation at every s
    Tight when  q is the posterior
    Weights     of any f: by differentiation, and so is whether it is additive
    Reference   Csiszar, 1967
    """

    f: Callable[[Tensor], Tensor]

    def __post_init__(self) -> None:
        check_function("f", self.f, "generators.chi2")

    def __call__(self, log_w: Float[Tensor, "s n"], /) -> Float[Tensor, " n"]:
        bound = iwae(log_w)
        log_w = at_least_float32(log_w)
        outside = log_w == -torch.inf
        empty = outside.all(0)
        t = torch.where(outside, 0.0, log_w) - torch.where(empty, 0.0, bound)
        t = torch.where(outside, 0.0, t)
        at_zero = self.f(t.new_full((), -torch.inf))
        infinite = torch.where(outside, at_zero, self.f(t.detach())).mean(0) == torch.inf  # f's slope there is infinite
        none = empty | infinite
        divergence = torch.where(outside, at_zero, self.f(torch.where(none, 0.0, t))).mean(0)
        return torch.where(none, -torch.inf, bound - divergence)


@dataclass(frozen=True)
class TailAdaptive:
    """mean_s log_w with the gradient weights of ranks instead of values, for `dreg`. ValueError unless beta is finite.

    u_s is proportional to t_s^beta, t_s the share of samples whose weight is at least w_s: beta = -1 favours large
    weights, with finite moments however heavy the weights' tail; beta = 0 is `elbo`.

    Side        lower: its value is the ELBO's
    Tight when  q is the posterior
    Weights     t^beta / sum_s t^beta, constants when differentiated once more: path coefficients of 1
    Reference   Wang et al., 2018
    """

    beta: float = -1.0

    def __post_init__(self) -> None:
        beta = check_number("beta", self.beta, "(-inf, inf)", "-1 favours large weights, 0 none")
        object.__setattr__(self, "beta", beta)

    @property
    def additive(self) -> bool:
        return self.beta == 0

    def __call__(self, log_w: Float[Tensor, "s n"], /) -> Float[Tensor, " n"]:
        check_log_weights(log_w)
        weights = self.derivatives(log_w.detach())[0]
        surrogate = (weights * torch.where(weights == 0, 0.0, log_w)).sum(0)
        return elbo(log_w.detach()) + surrogate - surrogate.detach()

    def derivatives(self, log_w: Float[Tensor, "s n"], /) -> tuple[Float[Tensor, "s n"], Float[Tensor, "s n"]]:
        check_log_weights(log_w)
        share = (log_w[:, None] <= log_w).to(at_least_float32(log_w).dtype).mean(1)
        weights = share**self.beta
        u = torch.where(log_w == -torch.inf, 0.0, weights / weights.sum(0))
        return u, torch.ones_like(u)

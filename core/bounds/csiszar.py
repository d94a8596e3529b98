"""Bounds by f-divergences of the posterior from q, and weights that keep them finite."""

import math
from collections.abc import Callable
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from jensen.core.bounds.weights import check_log_weights, elbo, iwae
from jensen.core.ops.log_scale import at_least_float32


class Csiszar(NamedTuple):
    """iwae - mean_s f(w_s / mean w): log p(x) less the f-divergence E_q f(p(z | x) / q), self-normalised.

    f is a function of t = log of the ratio, convex in the ratio, and 0 with slope 0 at 1, so that nothing is ever
    added (Csiszar, 1967): see `divergences.generators`. For f = generators.reverse_kl it is `elbo`, since
    log p(x) - KL(q || posterior) is; for every f it is at most `iwae` of the same weights, so a lower bound in
    expectation at every s, and it is attained by q = posterior alone. As s -> infinity it tends to
    log p(x) - D_f; at small s it is biased, f being averaged at an estimated ratio.

    A particle of no weight costs f(0) / s, and has no gradient; nor has a datum whose divergence overflows, which is
    -inf. For f = u^n the generalised mean f^-1(E f(w)) of Wan et al. (2020) is `Cubo` or `Renyi`.
    """

    f: Callable[[Tensor], Tensor]

    def __call__(self, log_w: Float[Tensor, "s n"]) -> Float[Tensor, " n"]:
        bound = iwae(log_w)
        log_w = at_least_float32(log_w)
        lost = log_w == -torch.inf
        dead = lost.all(0)
        t = torch.where(lost, 0.0, log_w) - torch.where(dead, 0.0, bound)
        t = torch.where(lost, 0.0, t)
        empty = self.f(t.new_full((), -torch.inf))
        out = dead | (torch.where(lost, empty, self.f(t.detach())).mean(0) == torch.inf)  # f's slope there is infinite
        divergence = torch.where(lost, empty, self.f(torch.where(out, 0.0, t))).mean(0)
        return torch.where(out, -torch.inf, bound - divergence)


class TailAdaptive(NamedTuple):
    """mean_s log_w, with weights that follow ranks instead of values (Wang et al., 2018), for `stl`.

    d bound / d log_w_s is proportional to t_s^beta, t_s the share of samples whose weight is at least w_s: beta = -1
    favours large weights, as far as moments exist however heavy the weights' tail. Its value is the ELBO's.
    ValueError for a beta that is not finite.
    """

    beta: float = -1.0

    def __call__(self, log_w: Float[Tensor, "s n"]) -> Float[Tensor, " n"]:
        check_log_weights(log_w)
        if not math.isfinite(self.beta):
            raise ValueError(f"expected a finite beta, got {self.beta}: -1 favours large weights, 0 none")
        held = log_w.detach()
        tail = (held[:, None] <= held).to(at_least_float32(log_w).dtype).mean(1)
        weights = tail**self.beta
        weights = torch.where(held == -torch.inf, 0.0, weights / weights.sum(0))
        surrogate = (weights * torch.where(weights == 0, 0.0, log_w)).sum(0)
        return elbo(held) + surrogate - surrogate.detach()

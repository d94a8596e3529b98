"""Bounds between the ELBO and IWAE, for a better signal-to-noise ratio of q's gradient (Rainforth et al., 2018)."""

import math
from dataclasses import dataclass

import torch
from einops import rearrange
from jaxtyping import Float
from torch import Tensor

from jensen.core.bounds.derivatives import path
from jensen.core.bounds.weights import check_log_weights, elbo, iwae
from jensen.core.checks import check_count, check_number
from jensen.core.numerics import at_least_float32, log_sum_exp, softmax


@dataclass(frozen=True)
class Miwae:
    """mean_m log mean_k exp(log_w), for m groups of k samples each.

    Miwae(1, k) is `iwae` and Miwae(m, 1) is `elbo`; between them it has the mean of IWAE at k samples and 1 / m of its
    variance. Group i holds samples i k to (i + 1) k - 1. A group outside the support makes it -inf, and the others keep
    their weights. ValueError unless m and k are integers of 1 or more, and for other than m k samples.

    Side        lower, in expectation
    Tight when  q is the posterior, or as k -> infinity
    Weights     each group's normalised weights over m, path coefficients m u
    Reference   Rainforth et al., 2018
    """

    m: int
    k: int

    def __post_init__(self) -> None:
        object.__setattr__(self, "m", check_count("m", self.m))
        object.__setattr__(self, "k", check_count("k", self.k))

    @property
    def additive(self) -> bool:
        return self.k == 1

    def __call__(self, log_w: Float[Tensor, "s n"], /) -> Float[Tensor, " n"]:
        return self.groups(log_w).mean(0) if self.k > 1 else elbo(self._checked(log_w))

    def derivatives(self, log_w: Float[Tensor, "s n"], /) -> tuple[Float[Tensor, "s n"], Float[Tensor, "s n"]]:
        groups = rearrange(at_least_float32(self._checked(log_w)), "(m k) n -> m k n", m=self.m)
        if self.k == 1:
            return elbo.derivatives(log_w)
        empty = (groups == -torch.inf).all(1, keepdim=True)
        w = torch.where(empty, 0.0, softmax(torch.where(empty, 0.0, groups), 1))
        w = rearrange(w, "m k n -> (m k) n")
        return w / self.m, w

    def groups(self, log_w: Float[Tensor, "s n"]) -> Float[Tensor, "m n"]:
        """log mean_k exp(log_w) of each group: what the bound is the mean of."""
        groups = rearrange(at_least_float32(self._checked(log_w)), "(m k) n -> m k n", m=self.m)
        return log_sum_exp(groups, 1) - math.log(self.k)

    def _checked(self, log_w: Tensor) -> Tensor:
        check_log_weights(log_w)
        if len(log_w) != self.m * self.k:
            raise ValueError(
                f"expected log_w of m k = {self.m} x {self.k} samples, got {len(log_w)}: draw as many, or choose m and "
                "k by s"
            )
        return log_w


@dataclass(frozen=True)
class Ciwae:
    """beta elbo + (1 - beta) iwae of the same weights. ValueError unless beta lies in [0, 1].

    Side        lower, in expectation
    Tight when  q is the posterior
    Weights     u = beta / s + (1 - beta) w, with h = (1 - beta) w (1 - w)
    Reference   Rainforth et al., 2018
    """

    beta: float

    def __post_init__(self) -> None:
        object.__setattr__(self, "beta", check_number("beta", self.beta, "[0, 1]", "0 is IWAE, 1 the ELBO"))

    @property
    def additive(self) -> bool:
        return self.beta == 1

    def __call__(self, log_w: Float[Tensor, "s n"], /) -> Float[Tensor, " n"]:
        if self.beta in (0, 1):  # 0 times the -inf of a particle outside the support is NaN
            return elbo(log_w) if self.beta == 1 else iwae(log_w)
        return self.beta * elbo(log_w) + (1 - self.beta) * iwae(log_w)

    def derivatives(self, log_w: Float[Tensor, "s n"], /) -> tuple[Float[Tensor, "s n"], Float[Tensor, "s n"]]:
        if self.beta in (0, 1):
            return (elbo if self.beta == 1 else iwae).derivatives(log_w)
        w = iwae.derivatives(log_w)[0]
        u = self.beta * elbo.derivatives(log_w)[0] + (1 - self.beta) * w
        return u, path(u, (1 - self.beta) * w * (1 - w))


def piwae(log_w_theta: Float[Tensor, "s n"], log_w_phi: Float[Tensor, "s n"], m: int, k: int) -> Float[Tensor, " n"]:
    """iwae(log_w_theta), with the gradient of Miwae(m, k)(log_w_phi) added: two targets in one value, (n,).

    The model follows IWAE of all m k samples and the posterior MIWAE, whose signal-to-noise ratio falls with k alone
    (Rainforth et al., 2018). Both arguments are the log weights of the same samples, attached to different parameters:

        z = q.sample(eps)
        log_w_theta = log_p(z.detach()) - stop(q).log_prob(z.detach())
        log_w_phi = log_p_with_stopped_parameters(z) - q.log_prob(z)

    A group outside the support contributes no gradient, and leaves that of the others. ValueError for unequal shapes
    or other than m k samples.
    """
    check_log_weights(log_w_theta, "log_w_theta")
    check_log_weights(log_w_phi, "log_w_phi")
    if log_w_theta.shape != log_w_phi.shape:
        raise ValueError(
            f"expected log_w_theta and log_w_phi of one shape, got {tuple(log_w_theta.shape)} and "
            f"{tuple(log_w_phi.shape)}: they belong to the same samples"
        )
    phi = Miwae(m, k).groups(log_w_phi)
    finite = torch.where(phi.abs() == torch.inf, 0.0, phi).mean(0)
    return iwae(log_w_theta) + finite - finite.detach()

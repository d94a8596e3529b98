"""Bounds between the ELBO and IWAE: many samples help the model, and hurt the posterior's signal (Rainforth, 2018)."""

import math
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from jensen.core.bounds.weights import check_log_weights, elbo, iwae
from jensen.core.ops.importance import log_sum_exp
from jensen.core.ops.log_scale import at_least_float32


class Miwae(NamedTuple):
    """mean_m log mean_k exp(log_w), for m groups of k samples each (Rainforth et al., 2018).

    A lower bound with the mean of IWAE at k samples and 1 / m of its variance: Miwae(1, k) is `iwae` and Miwae(m, 1)
    is `elbo`. Group i holds samples i k to (i + 1) k - 1. Its weights are the groups' normalised weights over m. A
    group of no weight makes it -inf, and the others keep their weights. ValueError for other than m k samples.
    """

    m: int
    k: int

    def __call__(self, log_w: Float[Tensor, "s n"]) -> Float[Tensor, " n"]:
        return self.groups(log_w).mean(0)

    def groups(self, log_w: Float[Tensor, "s n"]) -> Float[Tensor, "m n"]:
        """log mean_k exp(log_w) of each group: what the bound is the mean of."""
        check_log_weights(log_w)
        if not (isinstance(self.m, int) and isinstance(self.k, int)):
            raise ValueError(f"expected integers m and k, got {self.m} and {self.k}: groups, and samples in each")
        if self.m < 1 or self.k < 1 or len(log_w) != self.m * self.k:
            raise ValueError(
                f"expected m k = {self.m} x {self.k} samples, got {len(log_w)}: draw as many, or choose m and k by s"
            )
        groups = at_least_float32(log_w).unflatten(0, (self.m, self.k))
        return log_sum_exp(groups, 1) - math.log(self.k)


class Ciwae(NamedTuple):
    """beta elbo + (1 - beta) iwae of the same weights, a lower bound for beta in [0, 1] (Rainforth et al., 2018).

    Its weights are beta / s + (1 - beta) w: none of them fades as samples are added. ValueError for other betas.
    """

    beta: float

    def __call__(self, log_w: Float[Tensor, "s n"]) -> Float[Tensor, " n"]:
        if not 0 <= self.beta <= 1:
            raise ValueError(f"expected beta in [0, 1], got {self.beta}: 0 is IWAE, 1 the ELBO")
        if self.beta in (0, 1):  # 0 times the -inf of a particle without weight
            return elbo(log_w) if self.beta == 1 else iwae(log_w)
        return self.beta * elbo(log_w) + (1 - self.beta) * iwae(log_w)


def piwae(log_w_theta: Float[Tensor, "s n"], log_w_phi: Float[Tensor, "s n"], m: int, k: int) -> Float[Tensor, " n"]:
    """iwae(log_w_theta), with the gradient of Miwae(m, k)(log_w_phi) added: two targets in one value, (n,).

    The model follows IWAE of all m k samples and the posterior MIWAE, whose signal fades with k alone (Rainforth et
    al., 2018). Both arguments are the log weights of the same samples; what differs is what they are attached to:

        z = q.sample(eps)
        log_w_theta = log_p(z.detach()) - stop(q).log_prob(z.detach())
        log_w_phi = log_p_with_stopped_parameters(z) - q.log_prob(z)

    A group of no weight has no gradient, and takes none from the others. ValueError for unequal shapes or other than
    m k samples.
    """
    if log_w_theta.shape != log_w_phi.shape:
        raise ValueError(
            f"expected log weights of one shape, got {tuple(log_w_theta.shape)} and {tuple(log_w_phi.shape)}: "
            "they belong to the same samples"
        )
    phi = Miwae(m, k).groups(log_w_phi)
    finite = torch.where(phi.abs() == torch.inf, 0.0, phi).mean(0)
    return iwae(log_w_theta) + finite - finite.detach()

"""The beta's distribution function and quantiles; in float64."""

import torch
from jaxtyping import Float
from torch import Tensor

from jensen.core.numerics.incomplete_beta import beta_log_odds, log_beta_tails


def beta_cdf(z: Float[Tensor, "..."], a: Float[Tensor, "..."], b: Float[Tensor, "..."]) -> Float[Tensor, "..."]:
    """I_z(a, b), 0 for z <= 0 and 1 for z >= 1, with all digits of small values; differentiable."""
    never, always = z <= 0, z >= 1
    z = torch.where(never | always, 0.5, z)
    below, _ = log_beta_tails(torch.log(z) - torch.log1p(-z), a, b)
    return torch.where(never, 0.0, torch.where(always, 1.0, below.exp()))


def beta_quantile(u: Float[Tensor, "..."], a: Float[Tensor, "..."], b: Float[Tensor, "..."]) -> Float[Tensor, "..."]:
    """The z with I_z(a, b) = u in [0, 1]; no gradient passes."""
    z = torch.sigmoid(beta_log_odds(u, a, b))
    return torch.where(u == 1, 1.0, torch.where(u == 0, 0.0, z))

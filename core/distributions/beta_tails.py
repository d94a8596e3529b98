"""The beta's distribution function and quantiles; in float64."""

import torch
from jaxtyping import Float
from torch import Tensor

from jensen.core.numerics.incomplete_beta import beta_log_odds, log_beta_tails, log_odds_density

STEP = 1e-4  # of a concentration, for the derivatives in it


def beta_cdf(z: Float[Tensor, "..."], a: Float[Tensor, "..."], b: Float[Tensor, "..."]) -> Float[Tensor, "..."]:
    """I_z(a, b), 0 for z <= 0 and 1 for z >= 1, with all digits of small values; differentiable.

    In a and b by central differences, to 1e-7 relatively.
    """
    never, always = z <= 0, z >= 1
    z = torch.where(never | always, 0.5, z)
    log_odds = torch.log(z) - torch.log1p(-z)
    one, two, t = torch.broadcast_tensors(a.detach(), b.detach(), log_odds.detach())
    up, down = 1 + STEP, 1 - STEP
    firsts, seconds = (
        torch.stack([one, up * one, down * one, one, one]),
        torch.stack([two, two, two, up * two, down * two]),
    )
    below = log_beta_tails(t, firsts, seconds)[0].exp()
    in_a = (below[1] - below[2]) / (2 * STEP * one) * (a - a.detach())
    in_b = (below[3] - below[4]) / (2 * STEP * two) * (b - b.detach())
    in_z = log_odds_density(t, one, two).exp() * (log_odds - t)
    return torch.where(never, 0.0, torch.where(always, 1.0, below[0] + in_a + in_b + in_z))


def beta_quantile(u: Float[Tensor, "..."], a: Float[Tensor, "..."], b: Float[Tensor, "..."]) -> Float[Tensor, "..."]:
    """The z with I_z(a, b) = u in [0, 1]; no gradient passes."""
    z = torch.sigmoid(beta_log_odds(u, a, b))
    return torch.where(u == 1, 1.0, torch.where(u == 0, 0.0, z))

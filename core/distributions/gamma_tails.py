"""The standard gamma's distribution function and quantiles, for the families that rest on it; in float64."""

import torch
from jaxtyping import Float
from torch import Tensor

from jensen.core.distributions.standard_gamma import log_standard_gamma
from jensen.core.numerics import double


def standard_gamma_cdf(x: Float[Tensor, "..."], concentration: Float[Tensor, "..."]) -> Float[Tensor, "..."]:
    """P(a, x), 0 for x <= 0, differentiable in x alone; right to 2e-9 relatively, as torch's is for a > 20."""
    never = x <= 0
    return torch.where(never, 0.0, torch.special.gammainc(double(concentration).detach(), torch.where(never, 1.0, x)))


def standard_gamma_quantile(u: Float[Tensor, "..."], concentration: Float[Tensor, "..."]) -> Float[Tensor, "..."]:
    """The x with P(a, x) = u in [0, 1], differentiable in a by `log_standard_gamma`."""
    x = torch.exp(log_standard_gamma(u, concentration))
    return torch.where(u == 1, torch.inf, torch.where(u == 0, 0.0, x))

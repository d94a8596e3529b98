"""What distributions of whole numbers share: their support, and exact draws by inversion.

Draws are quantiles at uniform noise in float64, of 31 bits at both ends, so that odds of 1e-6 on either side are right.
"""

from collections.abc import Callable

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from jensen.core import keys
from jensen.core.concrete import is_concrete
from jensen.core.contracts import Key
from jensen.core.distributions.support import outside
from jensen.core.numerics import bisect

LARGEST = 2.0**53  # whole numbers below it are exact


def count_noise(key: Key, shape: tuple[int, ...]) -> Float[Tensor, "s n *d"]:
    """Uniform noise in float64, whatever the fields' type."""
    return keys.uniform(key, shape, torch.float64)


def not_counts(z: Float[Tensor, "... d"], most: float = torch.inf) -> Bool[Tensor, "..."]:
    """Whether a component is no whole number in [0, most]."""
    return outside(torch.where(z.detach().frac().abs() > 0, -1.0, z.detach()), 0.0, most)


def least_count(
    cdf: Callable[[Tensor], Tensor], u: Float[Tensor, "..."], most: Float[Tensor, "..."], steps: int
) -> Float[Tensor, "..."]:
    """The least whole number k in [0, most] with cdf(k) >= u, or most, by `steps` >= log2(most) + 3 halvings.

    Fewer are enough, and find the same, where `most` can be read.
    """
    if is_concrete(most) and most.numel():
        steps = min(steps, int(torch.log2(most.max() + 1)) + 4)
    low = torch.full_like(u, -1.0)
    _, high = bisect(lambda t: cdf(torch.floor(t)) < u, low, low + 1 + most, steps)
    return torch.floor(high).clamp_min(0)


def before(z: Float[Tensor, "..."]) -> tuple[Bool[Tensor, "..."], Float[Tensor, "..."]]:
    """Whether a value is below 0, and the largest whole number in [0, 2^53] that is at most it, for a cdf."""
    return z < 0, torch.floor(z).clamp(0, LARGEST)


def log_mgf_of_failures(log_p: Float[Tensor, "..."], t: Float[Tensor, "..."]) -> Float[Tensor, "..."]:
    """log of (1 - p) / (1 - p e^t) for t < -log p, else inf: the geometric's, of failures of probability p."""
    diverges = t + log_p >= 0
    return torch.where(diverges, torch.inf, _log_rest(log_p) - _log_rest(torch.where(diverges, -1.0, t + log_p)))


def _log_rest(log_p: Tensor) -> Tensor:
    """log(1 - p)."""
    return torch.log(-torch.expm1(log_p))

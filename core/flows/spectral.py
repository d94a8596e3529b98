"""The spectral norm of a weight by power iteration with a carried vector: normalised (Miyato et al., 2018), or clipped.

u = spectral.start(key, weight)
weight, u = spectral.normalised(weight, u)      # in each step; keep u for the next one
"""

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

from jensen.core import keys
from jensen.core.checks import check_count, check_floating, check_key, check_number
from jensen.core.contracts import Key


def start(key: Key, weight: Float[Tensor, "o i"], steps: int = 10) -> Float[Tensor, " o"]:
    """A random direction u after so many power iterations, near the first left singular vector."""
    check_key(key)
    _check(weight)
    u = F.normalize(keys.normal(key, (weight.shape[0],), weight.dtype), dim=0)
    return norm(weight, u, steps)[1]


def norm(weight: Float[Tensor, "o i"], u: Float[Tensor, " o"], steps: int = 1) -> tuple[Float[Tensor, ""], Tensor]:
    """(sigma, u'): u' . (W v) after so many power iterations from u, with a gradient in W alone, and their u'.

    At most the largest singular value, to which it converges as u is carried from call to call. A u drawn anew in each
    call underestimates it for ever. A weight of 0 leaves u as it is.
    """
    _check(weight)
    check_floating("u", u, str(weight.shape[0]), "one number for each of the weight's outputs")
    fixed = weight.detach()
    u = v = u.detach()
    for _ in range(check_count("steps", steps)):
        v = F.normalize(fixed.mT @ u, dim=0)
        image = fixed @ v
        u = torch.where((image == 0).all(), u, F.normalize(image, dim=0))
    return u @ (weight @ v), u


def normalised(
    weight: Float[Tensor, "o i"], u: Float[Tensor, " o"], limit: float = 1.0, steps: int = 1
) -> tuple[Float[Tensor, "o i"], Float[Tensor, " o"]]:
    """(W limit / sigma where sigma > limit, u'): a spectral norm of `limit` at most, by the estimate of `norm`."""
    check_number("limit", limit, "(0, inf)")
    sigma, u = norm(weight, u, steps)
    return weight * (limit / sigma.clamp_min(limit)), u


def clipped(
    weight: Float[Tensor, "o i"], u: Float[Tensor, " o"], low: float = 0.9, high: float = 1.1, steps: int = 1
) -> tuple[Float[Tensor, "o i"], Float[Tensor, " o"]]:
    """(W clip(sigma, low, high) / sigma, u'): a spectral norm in [low, high], by the estimate of `norm`.

    A weight of 0, which has no direction, stays 0.
    """
    check_number("low", low, "(0, inf)")
    check_number("high", high, f"[{low}, inf)", "pass low <= high")
    sigma, u = norm(weight, u, steps)
    return weight * torch.where(sigma == 0, 1.0, sigma.clamp(low, high) / torch.where(sigma == 0, 1.0, sigma)), u


def _check(weight: Tensor) -> None:
    check_floating("weight", weight, "o i", "a weight has its outputs first")

"""The standard normal's distribution function in its tails; torch's `ndtr` is 0 below -6 in float32."""

import math

import torch
from jaxtyping import Float
from torch import Tensor


def normal_cdf(x: Float[Tensor, "..."]) -> Float[Tensor, "..."]:
    """Phi(x) = erfc(-x / sqrt 2) / 2, with all digits of small values."""
    return 0.5 * torch.special.erfc(-x / math.sqrt(2))

"""What uniform noise u in [0, 1) is turned into, from the end near 0, where it is fine.

Noise of 31 bits comes as a multiple of 2^-31; in float32 it is one of 2^-24 near 1, too coarse for small odds there.
u = 0 stands for all below 2^-31, and is taken as the middle.
"""

import torch
from jaxtyping import Float
from torch import Tensor

LEAST = 2.0**-32


def exponential(u: Float[Tensor, "..."]) -> Float[Tensor, "..."]:
    """-log(1 - u), an exponential number above 0."""
    return -torch.log1p(-inside(u))


def logistic(u: Float[Tensor, "..."]) -> Float[Tensor, "..."]:
    """log(u / (1 - u)), a logistic number; finite."""
    u = inside(u)
    return torch.log(u) - torch.log1p(-u)


def inside(u: Float[Tensor, "..."]) -> Float[Tensor, "..."]:
    """u in (0, 1), for quantiles."""
    return torch.where(u == 0, LEAST, u).clamp_max(1 - torch.finfo(u.dtype).eps / 2)

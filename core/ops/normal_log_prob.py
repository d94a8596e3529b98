"""log N(z; loc, scale^2), diagonal, summed over the last axis."""

import math

import torch
from jaxtyping import Float
from torch import Tensor

from jensen.core.ops.log_scale import at_least_float32, bounded

HALF_LOG_2PI = 0.5 * math.log(2 * math.pi)


def normal_log_prob(
    z: Float[Tensor, "... d"], loc: Float[Tensor, "... d"], log_scale: Float[Tensor, "... d"]
) -> Float[Tensor, "..."]:
    """sum_d of -u^2 / 2 - log_scale - log(2 pi) / 2, with u = (z - loc) exp(-log_scale), in nats.

    Batch axes broadcast; the last axes must agree. log_scale passes through `bounded`. Half precision is
    computed and returned in float32.
    """
    log_scale = bounded(log_scale)
    u = (at_least_float32(z) - at_least_float32(loc)) * torch.exp(-log_scale)
    return -(0.5 * u.square() + log_scale + HALF_LOG_2PI).sum(-1)

"""The bounded-scale map, one for sampling, log-prob and KL, so that they agree beyond the edge."""

import torch
from jaxtyping import Float
from torch import Tensor

from jensen.core.numerics.precision import at_least_float32

WIDTH = 0.5  # how far beyond the limit the map can reach


def limit(dtype: torch.dtype) -> float:
    """Where the map stops being the identity: scales in [e^-20, e^20], or [e^-4, e^4] in float16.

    float16 overflows at 65,504, and a density's gradient holds 1 / scale^2.
    """
    return 4.0 if dtype == torch.float16 else 20.0


def bounded(log_scale: Float[Tensor, "..."]) -> Float[Tensor, "..."]:
    """The identity on [-limit, limit]; beyond, it levels off within 0.5 with a slope that stays positive.

    With r = |log_scale| - limit > 0 the value is ±(limit + w r / (w + r)), w = 0.5, and the slope (w / (w + r))^2:
    continuously differentiable, finite for every finite input, and a gradient outside still points back inside.
    Half precision comes out as float32.
    """
    edge = limit(log_scale.dtype)
    log_scale = at_least_float32(log_scale)
    inside = log_scale.clamp(-edge, edge)
    outside = log_scale - inside  # zero inside, signed beyond the edge
    beyond = WIDTH - WIDTH**2 / (WIDTH + outside.abs())
    return torch.where(outside == 0, log_scale, inside + outside.sign() * beyond)

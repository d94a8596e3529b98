"""KL between diagonal normals, summed over the last axis, exact for tiny values."""

import torch
from jaxtyping import Float
from torch import Tensor

from jensen.core.ops.log_scale import at_least_float32, bounded


def normal_kl(
    q_loc: Float[Tensor, "... d"],
    q_log_scale: Float[Tensor, "... d"],
    p_loc: Float[Tensor, "... d"],
    p_log_scale: Float[Tensor, "... d"],
) -> Float[Tensor, "..."]:
    """KL(q || p) = sum_d of (e^t - 1 - t) / 2 + u^2 / 2, in nats.

    t = 2 (q_log_scale - p_log_scale) and u = (q_loc - p_loc) exp(-p_log_scale); both log scales pass through
    `bounded`. The relative error in float32 is below 1e-5 down to a KL of 5e-7, where the textbook form
    has lost every digit. Half precision is computed and returned in float32.
    """
    p_log_scale = bounded(p_log_scale)
    t = 2 * (bounded(q_log_scale) - p_log_scale)
    u = (at_least_float32(q_loc) - at_least_float32(p_loc)) * torch.exp(-p_log_scale)
    return 0.5 * (exp_less_tangent(t) + u.square()).sum(-1)


def exp_less_tangent(t: Float[Tensor, "..."]) -> Float[Tensor, "..."]:
    """e^t - 1 - t without cancellation: its Taylor series for |t| < 1/2, the difference elsewhere."""
    near = t.abs() < 0.5
    small = torch.where(near, t, 0.0)
    terms = 14 if t.dtype == torch.float64 else 9
    series = torch.ones_like(small)
    for k in range(terms, 2, -1):
        series = 1 + series * small / k
    large = torch.where(near, 0.0, t)
    return torch.where(near, 0.5 * small.square() * series, torch.expm1(large) - large)

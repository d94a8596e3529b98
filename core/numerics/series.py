"""e^t - 1 - t and log(p / q) without cancellation."""

import torch
from jaxtyping import Float
from torch import Tensor


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


def log_ratio(
    p: Float[Tensor, "..."], q: Float[Tensor, "..."], gap: Float[Tensor, "..."] | None = None
) -> Float[Tensor, "..."]:
    """log(p / q) for p, q > 0, with all digits where they are nearly equal; gap is p - q, where more of it is known."""
    change = (p - q if gap is None else gap) / q
    near = change.abs() < 0.5
    return torch.where(near, torch.log1p(torch.where(near, change, 0.0)), torch.log(p) - torch.log(q))

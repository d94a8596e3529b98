"""The maximum mean discrepancy between two samples (Gretton et al., 2012)."""

from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor

from jensen.core.concrete import is_concrete
from jensen.core.numerics import at_least_float32
from jensen.core.ops import median_bandwidth


def squared_mmd(
    x: Float[Tensor, "s n d"],
    y: Float[Tensor, "t n d"],
    bandwidth: Float[Tensor, "..."] | float | None = None,
    kernel: Literal["rbf", "imq"] = "rbf",
) -> Float[Tensor, " n"]:
    """mean_{i != j} k(x_i, x_j) + mean_{i != j} k(y_i, y_j) - 2 mean_{ij} k(x_i, y_j) for each datum, (n,); no nats.

    Unbiased for the squared distance between the means of p_x and p_y in the kernel's space, so it may be negative;
    0 on average iff they are equal (Gretton et al., 2012). With r = |x_i - y_j|^2 and h the bandwidth, k is exp(-r / h)
    for "rbf" and (1 + r / h)^(-1/2) for "imq", as in `ops.stein_direction`; h is `ops.median_bandwidth` of both
    samples of a datum together, unless given, one or (n,), with no gradient through it. It is unbiased for a bandwidth
    that does not depend on these samples, so not for the median.

    An aggregated posterior (Tolstikhin et al., 2018) is one datum: z (n, 1, d) against draws of the prior (n, 1, d).
    Memory (s + t)^2 n, in float64. ValueError for one sample, shapes that do not match, a bandwidth that is not
    positive, or another kernel.
    """
    if x.ndim != 3 or y.ndim != 3 or x.shape[1:] != y.shape[1:]:
        raise ValueError(
            f"expected samples (s, n, d) and (t, n, d), got {tuple(x.shape)} and {tuple(y.shape)}: "
            "add the data axis of an aggregated sample with z[:, None]"
        )
    s, t = len(x), len(y)
    if min(s, t) < 2:
        raise ValueError(f"expected at least two samples of each, got {s} and {t}: the kernel is averaged over pairs")
    if kernel not in ("rbf", "imq"):
        raise ValueError(f'expected kernel "rbf" or "imq", got {kernel!r}')
    both = at_least_float32(torch.cat([x, y])).movedim(1, 0)  # (n, s + t, d)
    dtype, detached = both.dtype, both.detach()
    if bandwidth is None:
        bandwidth = torch.stack([median_bandwidth(one) for one in detached]) if len(detached) else detached.new_ones(0)
    else:
        _check_bandwidth(bandwidth, len(detached))
    h = torch.as_tensor(bandwidth, dtype=torch.float64, device=both.device)[..., None, None]
    both = both.double() - detached.double().mean(1, keepdim=True)  # centred, as squares less their product lose digits
    squares = both.square().sum(-1)
    distances = (squares[:, :, None] + squares[:, None] - 2 * both @ both.mT).clamp_min(0)
    k = torch.rsqrt(1 + distances / h) if kernel == "imq" else torch.exp(-distances / h)
    k = torch.where(torch.eye(s + t, dtype=torch.bool, device=k.device), 0.0, k)
    within = k[:, :s, :s].sum((1, 2)) / (s * (s - 1)) + k[:, s:, s:].sum((1, 2)) / (t * (t - 1))
    return (within - 2 * k[:, :s, s:].mean((1, 2))).to(dtype)


def _check_bandwidth(h: Tensor | float, n: int) -> None:
    if isinstance(h, Tensor) and h.shape not in ((), (n,)):
        raise ValueError(f"expected one bandwidth or ({n},), got {tuple(h.shape)}: give one number per datum")
    if (not isinstance(h, Tensor) or is_concrete(h)) and not (torch.as_tensor(h) > 0).all():
        raise ValueError(f"expected a bandwidth > 0, got {h}: without one it is the median heuristic's")

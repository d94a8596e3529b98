"""The maximum mean discrepancy between two samples (Gretton et al., 2012)."""

from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor

from jensen.core.checks import check_choice, check_floating, check_number
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
    check_floating("x", x, "s n d", "add the data axis of an aggregated sample with x[:, None]")
    check_floating("y", y, "t n d", "add the data axis of an aggregated sample with y[:, None]")
    if x.shape[1:] != y.shape[1:]:
        raise ValueError(
            f"expected x (s, n, d) and y (t, n, d), got {tuple(x.shape)} and {tuple(y.shape)}: "
            "compare samples of the same data and components"
        )
    s, t = len(x), len(y)
    if min(s, t) < 2:
        raise ValueError(
            f"expected at least two samples of each of x and y, got {s} and {t}: the kernel is averaged over pairs"
        )
    check_choice("kernel", kernel, ("rbf", "imq"))
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
    fix = "without one it is the median heuristic's"
    if not isinstance(h, Tensor):
        check_number("bandwidth", h, "(0, inf)", fix)
        return
    if h.shape not in ((), (n,)):
        raise ValueError(f"expected one bandwidth or ({n},), got {tuple(h.shape)}: give one number per datum")
    if is_concrete(h) and (wrong := h[~(h > 0)]).numel():
        raise ValueError(f"expected bandwidth in (0, inf), got {wrong[0].item():.4g}: {fix}")

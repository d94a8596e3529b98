"""What a critic says of the distance between two samples: Kantorovich and Rubinstein's dual of Wasserstein's.

    duality.lower_bound(value, x, y)       # at most W1 of the two samples, whatever the critic

W1(x, y) is the largest difference of means over functions of slope 1 at most (Villani, 2009), so that a critic of known
slope bounds it from below, and the better it is trained the closer.
"""

from collections.abc import Callable

import torch
from jaxtyping import Float
from torch import Tensor

from jensen.core.checks import check_floating, check_function

Value = Callable[[Tensor], Tensor]


def difference(value: Value, x: Float[Tensor, "n d"], y: Float[Tensor, "m d"]) -> Float[Tensor, ""]:
    """mean value(x) - mean value(y): W1 or less only where no slope of the critic exceeds 1."""
    check_function("value", value, "a critic")
    check_floating("x", x, "n d", "one row per datum")
    check_floating("y", y, f"m {x.shape[1]}", "points of as many coordinates as x")
    return value(x).mean() - value(y).mean()


def steepest(value: Value, x: Float[Tensor, "n d"]) -> Float[Tensor, ""]:
    """The largest |value(a) - value(b)| / |a - b| of two of the points, in O(n²) memory; 0 where all are one point."""
    check_function("value", value, "a critic")
    check_floating("x", x, "n d", "one row per datum")
    height = value(x)
    apart = torch.cdist(x, x, compute_mode="donot_use_mm_for_euclid_dist")
    rise = (height[:, None] - height).abs()
    return torch.where(apart > 0, rise / torch.where(apart > 0, apart, 1.0), 0.0).max()


def lower_bound(value: Value, x: Float[Tensor, "n d"], y: Float[Tensor, "m d"]) -> Float[Tensor, ""]:
    """`difference` over `steepest` of all points: at most W1 of the samples; 0 for a constant critic."""
    apart, slope = difference(value, x, y), steepest(value, torch.cat([x, y]))
    return torch.where(slope > 0, apart / torch.where(slope > 0, slope, 1.0), 0.0)

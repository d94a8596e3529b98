"""Precision and recall of draws by balls around neighbours (Kynkäänniemi et al., 2019), with density and coverage.

Approximates  the share of draws that lie where data do, and the share of data that lie where draws do
With          a ball around each point of a sample, as far as its k-th nearest of the same sample, for where it lies
Requires      independent draws; features in which distances say what is alike
Unbiased when never: balls grow with the spacing of few points, so compare with data beside data. Under equality density
              has the mean 1, and coverage 1 - prod_j (m - j) / (n + m - j) for j from 1 to k. The ball of one far point
              raises precision and recall, but density and coverage hardly (Naeem et al., 2020)
Cost          (n + m)^2 distances in d dimensions
Reference     Kynkäänniemi et al., 2019; Naeem et al., 2020
"""

from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from jensen.core.checks import check_count
from jensen.estimators.diagnostics._checks import check_samples

LOW = 0.5


class PrecisionRecall(NamedTuple):
    """0-d tensors. density: the mean number of data's balls that a draw is in, over k; it may exceed 1."""

    precision: Float[Tensor, ""]  # draws in a ball of the data's
    recall: Float[Tensor, ""]  # data in a ball of the draws'
    density: Float[Tensor, ""]
    coverage: Float[Tensor, ""]  # data whose ball has a draw
    k: int

    def verdict(self) -> str:
        precision, recall, density, coverage = (t.item() for t in self[:4])
        text = f"precision {precision:.2f}, recall {recall:.2f}, density {density:.2f}, coverage {coverage:.2f}"
        if precision < LOW and recall < LOW:
            return f"{text}: draws and data lie apart"
        if precision < LOW:
            return f"{text}: most draws are unlike any datum"
        if recall < LOW:
            return f"{text}: most data are unlike any draw: look for what is never drawn"
        return text


@torch.no_grad()
def precision_recall(drawn: Float[Tensor, "n d"], data: Float[Tensor, "m d"], k: int = 5) -> PrecisionRecall:
    """Of features of draws and of data, in float64. A point on a ball's edge is in it.

    ValueError for k rows or fewer, and for NaN or infinite features.
    """
    k = check_count("k", k)
    check_samples("drawn", drawn, "data", data)
    if k >= min(len(drawn), len(data)):
        raise ValueError(
            f"expected k below the rows of drawn and of data, got {k} for {len(drawn)} and {len(data)}: draw more, or "
            "lower it"
        )
    x, y = drawn.double(), data.double()
    apart, of_x, of_y = _distances(x, y), _radii(x, k), _radii(y, k)
    in_y, in_x = apart <= of_y, apart <= of_x[:, None]  # (n, m) each: draw i in data's ball j, datum j in draw's ball i
    share = (in_y.any(1), in_x.any(0), in_y.double().sum(1) / k, in_y.any(0))
    return PrecisionRecall(*(each.double().mean() for each in share), k=k)


def _radii(x: Tensor, k: int) -> Tensor:
    """The distance of each row to its k-th nearest other."""
    return _distances(x, x).kthvalue(k + 1).values  # itself is the nearest


def _distances(x: Tensor, y: Tensor) -> Tensor:
    return torch.cdist(x, y, compute_mode="donot_use_mm_for_euclid_dist")  # products lose far points' digits

"""The kernel distance of two samples' features, known as KID (Bińkowski et al., 2018).

Approximates  the squared maximum mean discrepancy of two distributions under k(x, y) = (x . y / d + 1)^3, which is 0
              where their first three moments are equal
With          its U-statistic: pairs of different rows within each sample, and all pairs across
Requires      independent draws, in an order that says nothing of them; features of one network
Unbiased when always, at every n and m, so that it may be negative
Cost          (n + m)^2 products in d dimensions, eleven times
Reference     Bińkowski et al., 2018; Gretton et al., 2012
"""

from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from jensen.estimators.diagnostics._checks import check_samples
from jensen.estimators.diagnostics._jackknife import GROUPS, jackknife

DEGREE = 3


class KernelDistance(NamedTuple):
    """0-d tensors, of n drawn rows and m of data: the distance, and its standard error by the jackknife."""

    distance: Float[Tensor, ""]
    error: Float[Tensor, ""]
    n: int
    m: int

    def verdict(self) -> str:
        text = f"a kernel distance of {self.distance.item():.3g} ± {self.error.item():.2g}"
        if self.distance <= 2 * self.error:
            return f"{text}: no difference of the features is seen in {self.n} draws and {self.m} data"
        return f"{text}: the features of draws and of data differ"


@torch.no_grad()
def kernel_distance(drawn: Float[Tensor, "n d"], data: Float[Tensor, "m d"]) -> KernelDistance:
    """mean_(i != j) k(x_i, x_j) + mean_(i != j) k(y_i, y_j) - 2 mean_ij k(x_i, y_j), in float64. Symmetric.

    ValueError for fewer than ten rows, and for NaN or infinite features.
    """
    check_samples("drawn", drawn, "data", data, GROUPS)
    found = jackknife(_distance, drawn.double(), data.double())
    return KernelDistance(found.value, found.error, n=len(drawn), m=len(data))


def _distance(x: Tensor, y: Tensor) -> Tensor:
    return _others(x) + _others(y) - 2 * _kernel(x, y).mean()


def _others(x: Tensor) -> Tensor:
    """The mean over pairs of different rows."""
    kernel, n = _kernel(x, x), len(x)
    return (kernel.sum() - kernel.diagonal().sum()) / (n * (n - 1))


def _kernel(x: Tensor, y: Tensor) -> Tensor:
    return (x @ y.mT / x.shape[1] + 1) ** DEGREE

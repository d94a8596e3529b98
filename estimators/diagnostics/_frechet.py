"""The Fréchet distance of two samples' features, known as FID (Heusel et al., 2017), and what of it is bias.

Approximates  |m - m'|^2 + tr(C + C' - 2 (C C')^(1/2)), the squared 2-Wasserstein distance of the normals with the means
              and covariances of the two distributions
With          sample means and covariances; A A' for centred rows A = (x - m) / sqrt(n - 1) gives tr (C C')^(1/2) as the
              sum of the singular values of A A'^T, to the digits of the features and for singular covariances too
Requires      independent draws, in an order that says nothing of them; features of one network
Unbiased when never: it is too large by some b / n, and b depends on the model, so that distances at different n, or of
              two models at one n, compare their bias too. `extrapolated` is without that term where n is several times
              d; where it is not, the covariances are singular and no extrapolation is right
Cost          a QR of (n, d) and singular values of (d, d), eleven times
Reference     Heusel et al., 2017; Chong and Forsyth, 2020, for the bias; Dowson and Landau, 1982, for the formula
"""

from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from jensen.estimators.diagnostics._checks import check_samples
from jensen.estimators.diagnostics._jackknife import GROUPS, jackknife

ENOUGH = 3  # rows for each feature, below which 1 / n does not describe the bias


class Frechet(NamedTuple):
    """0-d tensors, of n drawn rows and m of data in d features.

    extrapolated: to infinitely many of both; negative at times where the limit is 0. error: its standard error.
    """

    distance: Float[Tensor, ""]
    extrapolated: Float[Tensor, ""]
    error: Float[Tensor, ""]
    n: int
    m: int
    d: int

    @property
    def bias(self) -> Float[Tensor, ""]:
        """What n and m alone are estimated to add to the distance."""
        return self.distance - self.extrapolated

    def verdict(self) -> str:
        text = (
            f"a Fréchet distance of {self.distance.item():.3g} from {self.n} draws and {self.m} data, of which "
            f"{self.bias.item():.2g} is bias: {self.extrapolated.item():.3g} ± {self.error.item():.2g} of infinitely "
            "many"
        )
        if min(self.n, self.m) < ENOUGH * self.d:
            return f"{text}; too few for {self.d} features: use {ENOUGH * self.d} of both, or more"
        return text


@torch.no_grad()
def frechet(drawn: Float[Tensor, "n d"], data: Float[Tensor, "m d"]) -> Frechet:
    """The distance of features of draws from those of data, in float64. Symmetric.

    ValueError for fewer than ten rows, and for NaN or infinite features.
    """
    check_samples("drawn", drawn, "data", data, GROUPS)
    found = jackknife(_distance, drawn.double(), data.double())
    return Frechet(*found, n=len(drawn), m=len(data), d=drawn.shape[1])


def _distance(x: Tensor, y: Tensor) -> Tensor:
    (m, a), (n, b) = _moments(x), _moments(y)
    cross = torch.linalg.svdvals(_square(a) @ _square(b).mT).sum()
    return (m - n).square().sum() + a.square().sum() + b.square().sum() - 2 * cross


def _moments(x: Tensor) -> tuple[Tensor, Tensor]:
    """The mean (d,), and rows A (n, d) whose A^T A is the covariance."""
    mean = x.mean(0)
    return mean, (x - mean) / (len(x) - 1) ** 0.5


def _square(rows: Tensor) -> Tensor:
    """At most d rows with the same A^T A."""
    return torch.linalg.qr(rows, mode="r").R

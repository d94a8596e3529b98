"""The logistic distribution."""

import math

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

from jensen.core.distributions.exponential_tilt import log_normaliser, log_over_sine
from jensen.core.distributions.location_scale import LocationScale
from jensen.core.distributions.shapes import check_value
from jensen.core.numerics import bounded, double, narrow


class Logistic(LocationScale):
    """Independent densities with cdf sigmoid(x), x = (z - loc) / scale, one per datum: fields (n, d).

    Two of them have no KL in closed form: average log(q / p) over samples, as `objectives.kl` does.

    Support       R^d
    Noise         uniform, (s, n, d)
    Closed forms  mean, entropy, cdf and quantile, log mgf and characteristic function
    """

    ENTROPY = 2.0

    def mean(self) -> Float[Tensor, "*n d"]:
        """loc: (n, d)."""
        return self.loc

    def log_mgf(self, t: Float[Tensor, "... d"], /) -> Float[Tensor, "... d"]:
        """loc t + log(x / sin x), x = pi scale t, for scale |t| < 1: (s, n, d)."""
        self._check()
        check_value(t, self.loc, "t")
        own = torch.exp(double(bounded(self.log_scale))) * double(t)
        diverges = own.abs() >= 1
        value = double(self.loc) * double(t) + log_over_sine(math.pi * torch.where(diverges, 0.0, own))
        return narrow(torch.where(diverges, torch.inf, value), self.loc)

    @staticmethod
    def _standard_log_density(x: Tensor) -> Tensor:
        return F.logsigmoid(x) + F.logsigmoid(-x)

    @staticmethod
    def _standard_slope(x: Tensor) -> Tensor:
        return -torch.tanh(0.5 * x)

    @staticmethod
    def _standard_cdf(x: Tensor) -> Tensor:
        return torch.sigmoid(x)

    @staticmethod
    def _standard_quantile(u: Tensor) -> Tensor:
        return torch.log(u) - torch.log1p(-u)

    @staticmethod
    def _standard_characteristic(t: Tensor) -> Tensor:
        return torch.exp(-log_normaliser(2 * math.pi * t) + math.pi * t)

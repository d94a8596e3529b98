"""The Laplace distribution."""

import math

import torch
from jaxtyping import Float
from torch import Tensor

from jensen.core.distributions._tempered import like_field
from jensen.core.distributions.location_scale import LocationScale
from jensen.core.distributions.shapes import check_value
from jensen.core.numerics import bounded, double, exp_less_tangent, narrow, size


class Laplace(LocationScale):
    """Independent densities exp(-|x|) / (2 scale), x = (z - loc) / scale, one per datum: fields (n, d).

    Support       R^d
    Noise         uniform, (s, n, d)
    Closed forms  mean, entropy, KL by dimension, cdf and quantile, log mgf and characteristic function, powers
    """

    ENTROPY = 1 + math.log(2)

    def mean(self) -> Float[Tensor, "*n d"]:
        """loc: (n, d)."""
        return self.loc

    def kl(self, p: "Laplace", /) -> Float[Tensor, "..."]:
        """KL(self || p) in nats per datum: (n,). Exact for tiny values, and never negative."""
        return self.kl_per_dimension(p).sum(-1)

    def kl_per_dimension(self, p: "Laplace", /) -> Float[Tensor, "... d"]:
        """E(t) + e^t E(-|loc - loc_p| / scale): (n, d), with t = log(scale / scale_p) and E(t) = e^t - 1 - t."""
        t, gap = self._distance(p)
        return exp_less_tangent(t) + torch.exp(t) * exp_less_tangent(-size(gap) * torch.exp(-0.5 * t))

    def tempered(self, temperature: float | Tensor, /) -> "Laplace":
        """The Laplace of T times the scale."""
        self._check()
        change = torch.log(like_field(temperature, self.loc))
        return Laplace(self.loc, (bounded(self.log_scale) + change).to(self.loc.dtype))

    def log_mgf(self, t: Float[Tensor, "... d"], /) -> Float[Tensor, "... d"]:
        """loc t - log(1 - scale^2 t^2) for scale |t| < 1: (s, n, d)."""
        self._check()
        check_value(t, self.loc, "t")
        own = torch.exp(double(bounded(self.log_scale))) * double(t)
        diverges = own.abs() >= 1
        value = double(self.loc) * double(t) - torch.log1p(-torch.where(diverges, 0.0, own).square())
        return narrow(torch.where(diverges, torch.inf, value), self.loc)

    @staticmethod
    def _standard_log_density(x: Tensor) -> Tensor:
        return -x.abs() - math.log(2)

    @staticmethod
    def _standard_slope(x: Tensor) -> Tensor:
        return -x.sign()

    @staticmethod
    def _standard_cdf(x: Tensor) -> Tensor:
        tail = 0.5 * torch.exp(-size(x))
        return torch.where(x < 0, tail, 1 - tail)

    @staticmethod
    def _standard_quantile(u: Tensor) -> Tensor:
        side = torch.where(u < 0.5, 1, -1)
        return side * torch.log(2 * torch.where(u < 0.5, u, 1 - u))

    @staticmethod
    def _standard_characteristic(t: Tensor) -> Tensor:
        return 1 / (1 + t.square())

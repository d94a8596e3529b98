"""The Cauchy distribution."""

import math

import torch
from jaxtyping import Float
from torch import Tensor

from jensen.core.distributions.location_scale import LocationScale
from jensen.core.distributions.student_t import StudentT


class Cauchy(LocationScale):
    """Independent densities 1 / (pi scale (1 + x^2)), x = (z - loc) / scale, one per datum: fields (n, d).

    It has no mean, and is no `ClosedForm` therefore, though its entropy and KL are in closed form.

    Support       R^d
    Noise         uniform, (s, n, d)
    Closed forms  entropy, KL by dimension, cdf and quantile, characteristic function, powers
    """

    ENTROPY = math.log(4 * math.pi)

    def kl(self, p: "Cauchy", /) -> Float[Tensor, "..."]:
        """KL(self || p) = KL(p || self) in nats per datum: (n,). Exact for tiny values, and never negative."""
        return self.kl_per_dimension(p).sum(-1)

    def kl_per_dimension(self, p: "Cauchy", /) -> Float[Tensor, "... d"]:
        """log(1 + sinh(t / 2)^2 + (loc - loc_p)^2 / (4 scale scale_p)): (n, d), with t = log(scale / scale_p).

        Chyzak and Nielsen, 2019.
        """
        t, gap = self._distance(p)
        return torch.log1p(torch.sinh(0.5 * t).square() + 0.25 * gap.square())

    def tempered(self, temperature: float | Tensor, /) -> StudentT:
        """Student's t of 2 / T - 1 degrees of freedom, for T < 2: the Cauchy is that of 1."""
        self._check()
        return StudentT(torch.ones_like(self.loc), self.loc, self.log_scale).tempered(temperature)

    @staticmethod
    def _standard_log_density(x: Tensor) -> Tensor:
        return -2 * torch.log(torch.hypot(torch.ones_like(x), x)) - math.log(math.pi)

    @staticmethod
    def _standard_slope(x: Tensor) -> Tensor:
        return -2 * x / (1 + x.square())

    @staticmethod
    def _standard_cdf(x: Tensor) -> Tensor:
        return torch.atan2(torch.ones_like(x), -x) / math.pi

    @staticmethod
    def _standard_quantile(u: Tensor) -> Tensor:
        side = torch.where(u < 0.5, -1, 1)
        return side / torch.tan(math.pi * torch.where(u < 0.5, u, 1 - u))

    @staticmethod
    def _standard_characteristic(t: Tensor) -> Tensor:
        return torch.exp(-t.abs())

"""Location-scale families on the real line: z = loc + exp(log_scale) x, x of a standard member."""

import math
from typing import NamedTuple

import torch
from jaxtyping import Complex, Float
from torch import Tensor
from torch.nn import functional as F

from jensen.core import keys
from jensen.core.contracts import Key
from jensen.core.distributions._draw import sample_then_log_prob
from jensen.core.distributions._generating import imaginary, narrow_complex
from jensen.core.distributions._tempered import like_field
from jensen.core.distributions.exponential_tilt import log_normaliser, log_over_sine
from jensen.core.distributions.shapes import check_fields, check_pair, check_share, check_value, noise_shape
from jensen.core.distributions.student_t import StudentT
from jensen.core.distributions.support import moved_inside, outside, zero_density
from jensen.core.distributions.uniform import inside
from jensen.core.numerics import at_least_float32, bounded, double, exp_less_tangent, narrow


class LocationScale(NamedTuple):
    """What the families share: a family states its standard member's log density, cdf, quantile and entropy.

    Scales are bounded as those of `DiagNormal`.
    """

    loc: Float[Tensor, "*n d"]
    log_scale: Float[Tensor, "*n d"]

    reparameterised = True
    sample_and_log_prob = sample_then_log_prob
    ENTROPY = math.nan  # of the standard member, in nats

    def noise(self, key: Key, s: int, /) -> Float[Tensor, "s n d"]:
        """Uniform noise (s, n, d) for `sample`."""
        return keys.uniform(key, noise_shape(self.loc, s, 2), at_least_float32(self.loc).dtype)

    def sample(self, u: Float[Tensor, "s n d"], /) -> Float[Tensor, "s n d"]:
        """The quantile at u, within the type's range; differentiable in both fields."""
        self._check()
        check_value(u, self.loc, "noise")
        most = torch.finfo(self.loc.dtype).max
        return self._at(self._standard_quantile(inside(u))).clamp(-most, most).to(self.loc.dtype)

    def log_prob(self, z: Float[Tensor, "... d"], /) -> Float[Tensor, "..."]:
        """sum_d log p(x) - log_scale in nats per datum: (s, n, d) -> (s, n), with x = (z - loc) / exp(log_scale)."""
        rows = outside(self._checked(z), -math.inf)
        x = self._standardised(moved_inside(z, rows, self.loc.detach().to(z.dtype)))
        return zero_density((self._standard_log_density(x) - bounded(self.log_scale)).sum(-1), rows)

    def cdf(self, z: Float[Tensor, "... d"], /) -> Float[Tensor, "... d"]:
        """P(z_d' <= z_d) of each component, (s, n, d), with all digits of small ones; differentiable."""
        return self._standard_cdf(self._standardised(self._checked(z)))

    def quantile(self, u: Float[Tensor, "... d"], /) -> Float[Tensor, "... d"]:
        """The z with cdf(z) = u in [0, 1], (s, n, d); -inf at 0 and inf at 1."""
        self._check()
        check_value(u, self.loc, "u")
        check_share("u", u)
        return self._at(self._standard_quantile(u))

    def entropy(self) -> Float[Tensor, "..."]:
        """sum_d log_scale + that of the standard member, in nats: (n,)."""
        self._check()
        return (bounded(self.log_scale) + self.ENTROPY).sum(-1)

    def marginals(
        self, z: Float[Tensor, "... d"], /
    ) -> tuple[Float[Tensor, "... d"], Float[Tensor, "... d"], Float[Tensor, "... d"]]:
        """log density, distribution function and slope of the log density, without a gradient: (s, n, d) each."""
        x, log_scale = self._standardised(self._checked(z)), bounded(self.log_scale)
        slope = self._standard_slope(x.detach()) * torch.exp(-log_scale.detach())
        return self._standard_log_density(x) - log_scale, self._standard_cdf(x), slope

    def characteristic(self, t: Float[Tensor, "... d"], /) -> Complex[Tensor, "... d"]:
        """e^(i loc t) times the standard member's at scale t: (s, n, d)."""
        self._check()
        check_value(t, self.loc, "t")
        own = self._standard_characteristic(torch.exp(double(bounded(self.log_scale))) * double(t))
        return narrow_complex(torch.exp(imaginary(t) * double(self.loc)) * own, self.loc)

    @staticmethod
    def _standard_log_density(x: Tensor) -> Tensor:
        raise NotImplementedError

    @staticmethod
    def _standard_slope(x: Tensor) -> Tensor:
        """Of the log density."""
        raise NotImplementedError

    @staticmethod
    def _standard_cdf(x: Tensor) -> Tensor:
        raise NotImplementedError

    @staticmethod
    def _standard_quantile(u: Tensor) -> Tensor:
        raise NotImplementedError

    @staticmethod
    def _standard_characteristic(t: Tensor) -> Tensor:
        raise NotImplementedError

    def _at(self, x: Tensor) -> Tensor:
        return self.loc + torch.exp(bounded(self.log_scale)) * x

    def _standardised(self, z: Tensor) -> Tensor:
        return (at_least_float32(z) - at_least_float32(self.loc)) * torch.exp(-bounded(self.log_scale))

    def _distance(self, p: "LocationScale") -> tuple[Tensor, Tensor]:
        """log of self's scale over p's, and the locations' difference over the geometric mean of the scales."""
        check_pair(self, p)
        self._check()
        p._check()
        log_scale, p_log_scale = bounded(self.log_scale), bounded(p.log_scale)
        gap = at_least_float32(self.loc) - at_least_float32(p.loc)
        return log_scale - p_log_scale, gap * torch.exp(-0.5 * (log_scale + p_log_scale))

    def _checked(self, z: Tensor) -> Tensor:
        self._check()
        check_value(z, self.loc)
        return z

    def _check(self) -> None:
        check_fields(loc=self.loc, log_scale=self.log_scale)


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
        return exp_less_tangent(t) + torch.exp(t) * exp_less_tangent(-gap.abs() * torch.exp(-0.5 * t))

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
        tail = 0.5 * torch.exp(-x.abs())
        return torch.where(x < 0, tail, 1 - tail)

    @staticmethod
    def _standard_quantile(u: Tensor) -> Tensor:
        side = torch.where(u < 0.5, 1, -1)
        return side * torch.log(2 * torch.where(u < 0.5, u, 1 - u))

    @staticmethod
    def _standard_characteristic(t: Tensor) -> Tensor:
        return 1 / (1 + t.square())


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

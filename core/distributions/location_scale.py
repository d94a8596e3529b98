"""Location-scale families on the real line: z = loc + exp(log_scale) x, x of a standard member."""

import math
from typing import NamedTuple

import torch
from jaxtyping import Complex, Float
from torch import Tensor

from jensen.core import keys
from jensen.core.contracts import Key
from jensen.core.distributions._draw import sample_then_log_prob
from jensen.core.distributions._generating import imaginary, narrow_complex
from jensen.core.distributions.shapes import check_fields, check_pair, check_share, check_value, noise_shape
from jensen.core.distributions.support import moved_inside, outside, with_ends, zero_density
from jensen.core.distributions.uniform import inside
from jensen.core.numerics import at_least_float32, bounded, double


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
        return with_ends(lambda z: self._standard_cdf(self._standardised(z)), self._checked(z))

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

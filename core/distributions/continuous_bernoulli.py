"""The continuous Bernoulli (Loaiza-Ganem and Cunningham, 2019): the exponential family on [0, 1]."""

from typing import NamedTuple

import torch
from jaxtyping import Complex, Float
from torch import Tensor

from jensen.core import keys
from jensen.core.bijections import UnitInterval
from jensen.core.contracts import Key
from jensen.core.distributions._draw import sample_then_log_prob
from jensen.core.distributions._generating import imaginary, narrow_complex
from jensen.core.distributions._tempered import like_field
from jensen.core.distributions.exponential_tilt import (
    log_normaliser,
    log_normaliser_below,
    log_normaliser_divergence,
    log_normaliser_slope,
    mean_exponential,
)
from jensen.core.distributions.shapes import check_pair, check_share, check_value, noise_shape
from jensen.core.distributions.support import moved_inside, outside, zero_density
from jensen.core.numerics import at_least_float32, bisect, double, narrow


class ContinuousBernoulli(NamedTuple):
    """Independent densities p(x) = exp(logits x - A(logits)) on [0, 1], one per datum: field (n, d).

    Support       [0, 1]^d, with its edge
    Noise         uniform, (s, n, d)
    Closed forms  mean, entropy, KL by dimension, cdf and quantile, log mgf and characteristic function, powers
    """

    logits: Float[Tensor, "*n d"]

    reparameterised = True
    sample_and_log_prob = sample_then_log_prob

    @classmethod
    def from_mean(cls, mean: Float[Tensor, "*n d"]) -> "ContinuousBernoulli":
        """The logits of this mean in [0, 1], by bisection on [-1e4, 1e4]: its maximum-likelihood fit."""
        check_share("mean", mean)
        edge = torch.full_like(mean, 1e4)
        low, high = bisect(lambda logits: log_normaliser_slope(logits) < mean, -edge, edge, 80)
        return cls((low + high) / 2)

    def noise(self, key: Key, s: int, /) -> Float[Tensor, "s n d"]:
        """Uniform noise (s, n, d) for `sample`."""
        return keys.uniform(key, noise_shape(self.logits, s, 2), at_least_float32(self.logits).dtype)

    def sample(self, u: Float[Tensor, "s n d"], /) -> Float[Tensor, "s n d"]:
        """The inverse distribution function at u, log(1 + u (e^a - 1)) / a with a = logits; differentiable."""
        check_value(u, self.logits, "noise")
        return self._at(u).to(self.logits.dtype)

    def log_prob(self, x: Float[Tensor, "... d"], /) -> Float[Tensor, "..."]:
        """sum_d logits x - A(logits) in nats per datum: (s, n, d) -> (s, n)."""
        check_value(x, self.logits)
        logits, rows = at_least_float32(self.logits), outside(x, 0.0, 1.0)
        x = moved_inside(at_least_float32(x), rows, 0.5)
        end = (logits > 0).to(x.dtype)  # where the density is largest
        return zero_density(((x - end) * logits - log_normaliser_below(logits)).sum(-1), rows)

    def bijection(self) -> UnitInterval:
        """Onto (0, 1)^d, all of the support but its edge."""
        return UnitInterval()

    def cdf(self, x: Float[Tensor, "... d"], /) -> Float[Tensor, "... d"]:
        """(e^(a x) - 1) / (e^a - 1) of each component, a = logits, within [0, 1]: (s, n, d); differentiable."""
        check_value(x, self.logits)
        a, x = torch.broadcast_tensors(at_least_float32(self.logits), at_least_float32(x).clamp(0, 1))
        near, negative = _is_near_uniform(a), a < 0
        wide = torch.where(near, 1.0, a).abs()
        below = torch.expm1(-wide * x) / torch.expm1(-wide)
        far = torch.where(negative, below, torch.exp(wide * (x - 1)) * below)
        return torch.where(near, _cdf_near_uniform(torch.where(near, a, 0.0), x), far)

    def quantile(self, u: Float[Tensor, "... d"], /) -> Float[Tensor, "... d"]:
        """log(1 + u (e^a - 1)) / a for u in [0, 1], a = logits: (s, n, d); differentiable."""
        check_value(u, self.logits, "u")
        check_share("u", u)
        return self._at(u)

    def log_mgf(self, t: Float[Tensor, "... d"], /) -> Float[Tensor, "... d"]:
        """A(logits + t) - A(logits): (s, n, d)."""
        check_value(t, self.logits, "t")
        logits = double(self.logits)
        return narrow(log_normaliser(logits + double(t)) - log_normaliser(logits), self.logits)

    def characteristic(self, t: Float[Tensor, "... d"], /) -> Complex[Tensor, "... d"]:
        """(e^s - 1) / s over its value at logits, s = logits + i t: (s, n, d); for logits > 0 that of 1 - x."""
        check_value(t, self.logits, "t")
        logits = double(self.logits)
        turned, below = logits > 0, torch.where(logits > 0, -logits, logits)  # not -|logits|, whose slope at 0 is 0
        step = imaginary(t)
        mirrored = torch.where(turned, -step, step)
        value = mean_exponential(below + mirrored) * torch.exp(-log_normaliser_below(logits))
        return narrow_complex(torch.where(turned, torch.exp(step), 1.0) * value, self.logits)

    def mean(self) -> Float[Tensor, "*n d"]:
        """A'(logits): (n, d)."""
        return log_normaliser_slope(self.logits).to(self.logits.dtype)

    def entropy(self) -> Float[Tensor, "..."]:
        """sum_d A(logits) - logits A'(logits), in nats: (n,)."""
        logits = double(self.logits)
        below = torch.where(logits > 0, -logits, logits)  # it is even
        return narrow((log_normaliser_below(below) - below * log_normaliser_slope(below)).sum(-1), self.logits)

    def kl(self, p: "ContinuousBernoulli", /) -> Float[Tensor, "..."]:
        """KL(self || p) in nats per datum: (n,). Exact for tiny values, and never negative."""
        return self.kl_per_dimension(p).sum(-1)

    def kl_per_dimension(self, p: "ContinuousBernoulli", /) -> Float[Tensor, "... d"]:
        """The terms of `kl`: (n, d)."""
        check_pair(self, p)
        return narrow(log_normaliser_divergence(double(p.logits), double(self.logits)), self.logits)

    def tempered(self, temperature: float | Tensor, /) -> "ContinuousBernoulli":
        """That of logits / T."""
        return ContinuousBernoulli((self.logits / like_field(temperature, self.logits)).to(self.logits.dtype))

    def _at(self, u: Tensor) -> Tensor:
        a, u = torch.broadcast_tensors(at_least_float32(self.logits), at_least_float32(u))
        near, negative = _is_near_uniform(a), a < 0
        wide, tiny = torch.where(near, 1.0, a).abs(), torch.finfo(u.dtype).tiny
        below = -torch.log1p(u * torch.expm1(-wide)) / wide  # with all digits of a small u
        above = 1 + torch.log((u + (1 - u) * torch.exp(-wide)).clamp_min(tiny)) / wide
        x = torch.where(near, _near_uniform(torch.where(near, a, 0.0), u), torch.where(negative, below, above))
        return x.clamp(0, 1)


def _is_near_uniform(a: Tensor) -> Tensor:
    return a.abs() < (0.01 if a.dtype == torch.float64 else 0.1)


def _cdf_near_uniform(a: Tensor, x: Tensor) -> Tensor:
    """The cdf for small a: sum_n (B_n(x) - B_n(0)) a^(n - 1) / n!, with Bernoulli's polynomials B_1 to B_5."""
    k = x * (1 - x)
    return x - a * k * (1 / 2 - a * ((1 - 2 * x) / 12 + a * (k / 24 - a * (1 - 2 * x) * (1 + 3 * k) / 720)))


def _near_uniform(a: Tensor, u: Tensor) -> Tensor:
    """log(1 + u (e^a - 1)) / a for small a: the cumulants of a Bernoulli(u) over their factorials."""
    k2 = u * (1 - u)
    k3, k4 = k2 * (1 - 2 * u), k2 * (1 - 6 * k2)
    return u + a * (k2 / 2 + a * (k3 / 6 + a * (k4 / 24 + a * k3 * (1 - 12 * k2) / 120)))

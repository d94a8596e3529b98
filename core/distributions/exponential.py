"""The exponential distribution."""

from typing import NamedTuple

import torch
from jaxtyping import Complex, Float
from torch import Tensor

from jensen.core import keys
from jensen.core.bijections import Positive
from jensen.core.checks import check_floating
from jensen.core.contracts import Key
from jensen.core.distributions._draw import sample_then_log_prob
from jensen.core.distributions._generating import imaginary, narrow_complex
from jensen.core.distributions._tempered import like_field
from jensen.core.distributions.fields import check_domains
from jensen.core.distributions.gamma_tails import log_mgf_of_gamma
from jensen.core.distributions.shapes import check_pair, check_share, check_value, noise_shape
from jensen.core.distributions.support import moved_inside, outside, with_ends, zero_density
from jensen.core.distributions.uniform import exponential
from jensen.core.numerics import at_least_float32, double, exp_less_tangent, log_ratio, narrow


class Exponential(NamedTuple):
    """Independent densities b e^(-b z), b = rate > 0 in units of 1 / z, one per datum: field (n, d).

    Support       z > 0; at 0 log_prob is its limit, log b
    Noise         uniform, (s, n, d)
    Closed forms  mean, entropy, KL by dimension, cdf and quantile, log mgf and characteristic function, powers
    """

    rate: Float[Tensor, "*n d"]

    reparameterised = True
    sample_and_log_prob = sample_then_log_prob
    domains = {"rate": Positive()}  # noqa: RUF012

    def noise(self, key: Key, s: int, /) -> Float[Tensor, "s n d"]:
        """Uniform noise (s, n, d) for `sample`."""
        return keys.uniform(key, noise_shape(self.rate, s, 2), at_least_float32(self.rate).dtype)

    def sample(self, u: Float[Tensor, "s n d"], /) -> Float[Tensor, "s n d"]:
        """The quantile at u, between the type's least normal and largest numbers; differentiable."""
        self._check()
        check_value(u, self.rate, "noise")
        range_ = torch.finfo(self.rate.dtype)
        return (exponential(u) / at_least_float32(self.rate)).clamp(range_.tiny, range_.max).to(self.rate.dtype)

    def log_prob(self, z: Float[Tensor, "... d"], /) -> Float[Tensor, "..."]:
        """sum_d log b - b z in nats per datum: (s, n, d) -> (s, n)."""
        self._check()
        check_value(z, self.rate)
        rows = outside(z, 0.0)
        rate, z = at_least_float32(self.rate), moved_inside(at_least_float32(z), rows, 1.0)
        return zero_density((torch.log(rate) - rate * z).sum(-1), rows)

    def bijection(self) -> Positive:
        """Onto z > 0."""
        return Positive()

    def cdf(self, z: Float[Tensor, "... d"], /) -> Float[Tensor, "... d"]:
        """1 - e^(-b z) of each component, (s, n, d), 0 for z <= 0; differentiable."""
        self._check()
        check_value(z, self.rate)
        rate = at_least_float32(self.rate)
        return with_ends(lambda z: -torch.expm1(-rate * at_least_float32(z).clamp_min(0)), z)

    def quantile(self, u: Float[Tensor, "... d"], /) -> Float[Tensor, "... d"]:
        """-log(1 - u) / b for u in [0, 1]: (s, n, d)."""
        self._check()
        check_value(u, self.rate, "u")
        check_share("u", u)
        return -torch.log1p(-at_least_float32(u)) / at_least_float32(self.rate)

    def log_mgf(self, t: Float[Tensor, "... d"], /) -> Float[Tensor, "... d"]:
        """-log(1 - t / b) for t < b: (s, n, d)."""
        self._check()
        check_value(t, self.rate, "t")
        return narrow(log_mgf_of_gamma(torch.ones_like(double(self.rate)), double(t) / double(self.rate)), self.rate)

    def characteristic(self, t: Float[Tensor, "... d"], /) -> Complex[Tensor, "... d"]:
        """1 / (1 - i t / b): (s, n, d)."""
        self._check()
        check_value(t, self.rate, "t")
        return narrow_complex(1 / (1 - imaginary(t) / double(self.rate)), self.rate)

    def mean(self) -> Float[Tensor, "*n d"]:
        """1 / b: (n, d)."""
        self._check()
        return 1 / self.rate

    def entropy(self) -> Float[Tensor, "..."]:
        """sum_d 1 - log b, in nats: (n,)."""
        self._check()
        return (1 - torch.log(at_least_float32(self.rate))).sum(-1)

    def kl(self, p: "Exponential", /) -> Float[Tensor, "..."]:
        """KL(self || p) in nats per datum: (n,). Exact for tiny values, and never negative."""
        return self.kl_per_dimension(p).sum(-1)

    def kl_per_dimension(self, p: "Exponential", /) -> Float[Tensor, "... d"]:
        """e^t - 1 - t with t = log(b_p / b): (n, d)."""
        check_pair(self, p)
        self._check()
        p._check()
        return exp_less_tangent(log_ratio(at_least_float32(p.rate), at_least_float32(self.rate)))

    def tempered(self, temperature: float | Tensor, /) -> "Exponential":
        """The exponential of rate b / T."""
        self._check()
        return Exponential((self.rate / like_field(temperature, self.rate)).to(self.rate.dtype))

    def _check(self) -> None:
        check_floating("rate", self.rate)
        check_domains(self)

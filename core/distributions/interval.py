"""The uniform distribution between two ends."""

from typing import NamedTuple

import torch
from jaxtyping import Complex, Float
from torch import Tensor

from jensen.core import keys
from jensen.core.bijections import Interval
from jensen.core.concrete import is_concrete
from jensen.core.contracts import Key
from jensen.core.distributions._draw import sample_then_log_prob
from jensen.core.distributions._generating import imaginary, narrow_complex
from jensen.core.distributions._tempered import like_field
from jensen.core.distributions.exponential_tilt import log_normaliser, mean_exponential
from jensen.core.distributions.shapes import check_fields, check_pair, check_share, check_value, noise_shape
from jensen.core.distributions.support import with_ends, zero_density
from jensen.core.numerics import at_least_float32, double, narrow


class Uniform(NamedTuple):
    """Independent densities 1 / (high - low) between low and high > low, one per datum: fields (n, d).

    The support moves with the fields, so that score functions are biased: use paths. An optimiser of both ends has to
    keep them apart.

    Support       [low, high], with its ends
    Noise         uniform, (s, n, d)
    Closed forms  mean, entropy, KL by dimension, cdf and quantile, log mgf and characteristic function, powers
    """

    low: Float[Tensor, "*n d"]
    high: Float[Tensor, "*n d"]

    reparameterised = True
    sample_and_log_prob = sample_then_log_prob

    def noise(self, key: Key, s: int, /) -> Float[Tensor, "s n d"]:
        """Uniform noise (s, n, d) for `sample`."""
        return keys.uniform(key, noise_shape(self.low, s, 2), at_least_float32(self.low).dtype)

    def sample(self, u: Float[Tensor, "s n d"], /) -> Float[Tensor, "s n d"]:
        """z = low + (high - low) u, strictly between both in the fields' type; differentiable."""
        self._check()
        check_value(u, self.low, "noise")
        z = self._at(u).to(self.low.dtype)
        least, most = torch.nextafter(self.low, self.high), torch.nextafter(self.high, self.low)
        return z + (torch.minimum(torch.maximum(z, least), most) - z).detach()

    def log_prob(self, z: Float[Tensor, "... d"], /) -> Float[Tensor, "..."]:
        """-sum_d log(high - low) in nats per datum: (s, n, d) -> (s, n)."""
        self._check()
        check_value(z, self.low)
        rows = ((z < self.low) | (z > self.high)).any(-1)
        each = torch.where(z.isnan(), torch.nan, -torch.log(self._width()))
        return zero_density(each.sum(-1), rows)

    def bijection(self) -> Interval:
        """Onto the values between low and high."""
        self._check()
        return Interval(self.low, self.high)

    def cdf(self, z: Float[Tensor, "... d"], /) -> Float[Tensor, "... d"]:
        """(z - low) / (high - low) of each component, within [0, 1]: (s, n, d); differentiable."""
        self._check()
        check_value(z, self.low)
        low, width = at_least_float32(self.low), self._width()
        return with_ends(lambda z: ((at_least_float32(z) - low) / width).clamp(0, 1), z)

    def quantile(self, u: Float[Tensor, "... d"], /) -> Float[Tensor, "... d"]:
        """low + (high - low) u for u in [0, 1]: (s, n, d)."""
        self._check()
        check_value(u, self.low, "u")
        check_share("u", u)
        return self._at(u)

    def log_mgf(self, t: Float[Tensor, "... d"], /) -> Float[Tensor, "... d"]:
        """low t + log((e^(w t) - 1) / (w t)), w = high - low: (s, n, d)."""
        self._check()
        check_value(t, self.low, "t")
        t = double(t)
        return narrow(double(self.low) * t + log_normaliser(double(self._width()) * t), self.low)

    def characteristic(self, t: Float[Tensor, "... d"], /) -> Complex[Tensor, "... d"]:
        """e^(i low t) (e^(i w t) - 1) / (i w t), w = high - low: (s, n, d)."""
        self._check()
        check_value(t, self.low, "t")
        s = imaginary(t)
        return narrow_complex(torch.exp(s * double(self.low)) * mean_exponential(s * double(self._width())), self.low)

    def mean(self) -> Float[Tensor, "*n d"]:
        """The middle of both: (n, d)."""
        self._check()
        return self.low + 0.5 * (self.high - self.low)

    def entropy(self) -> Float[Tensor, "..."]:
        """sum_d log(high - low), in nats: (n,)."""
        self._check()
        return torch.log(self._width()).sum(-1)

    def kl(self, p: "Uniform", /) -> Float[Tensor, "..."]:
        """KL(self || p) in nats per datum: (n,), inf where p does not reach as far."""
        return self.kl_per_dimension(p).sum(-1)

    def kl_per_dimension(self, p: "Uniform", /) -> Float[Tensor, "... d"]:
        """log of p's width over self's: (n, d)."""
        check_pair(self, p)
        self._check()
        p._check()
        beyond = (self.low < p.low) | (self.high > p.high)
        left = at_least_float32(self.low) - at_least_float32(p.low)
        right = at_least_float32(p.high) - at_least_float32(self.high)
        return torch.where(beyond, torch.inf, torch.log1p((left + right) / self._width()))

    def tempered(self, temperature: float | Tensor, /) -> "Uniform":
        """Itself."""
        self._check()
        like_field(temperature, self.low)
        return self

    def _at(self, u: Tensor) -> Tensor:
        return at_least_float32(self.low) + self._width() * at_least_float32(u)

    def _width(self) -> Tensor:
        return at_least_float32(self.high) - at_least_float32(self.low)

    def _check(self) -> None:
        check_fields(low=self.low, high=self.high)
        if is_concrete(self.low) and is_concrete(self.high) and (wrong := self.high <= self.low).any():
            low, high = self.low[wrong][0].item(), self.high[wrong][0].item()
            raise ValueError(
                f"expected high above low, got {high:.4g} and {low:.4g}: exchange them, or move them apart"
            )

"""The geometric distribution."""

from typing import NamedTuple

import torch
from jaxtyping import Complex, Float
from torch import Tensor
from torch.nn import functional as F

from jensen.core.checks import check_floating
from jensen.core.contracts import Key
from jensen.core.distributions._draw import sample_then_log_prob
from jensen.core.distributions._generating import imaginary, narrow_complex
from jensen.core.distributions._tempered import like_field
from jensen.core.distributions.bernoulli import Bernoulli
from jensen.core.distributions.counts import before, count_noise, log_mgf_of_failures, not_counts
from jensen.core.distributions.shapes import check_pair, check_share, check_value, noise_shape
from jensen.core.distributions.support import moved_inside, zero_density
from jensen.core.distributions.uniform import inside
from jensen.core.numerics import at_least_float32, double, exp_less_tangent, narrow, softplus

RARE = -40.0  # logits of p that are log p, to rounding
SMALL, TERMS = -5.0, 8  # logits from which on a series of so many terms is exact to rounding


class Geometric(NamedTuple):
    """The failures before the first success of Bernoulli(logits), independent components: field (n, d).

    P(z) = p (1 - p)^z, p = sigmoid(logits).

    Support       whole numbers z >= 0
    Noise         uniform in float64, (s, n, d)
    Closed forms  mean, entropy, KL by dimension, cdf and quantile, log mgf and characteristic function, powers
    """

    logits: Float[Tensor, "*n d"]

    reparameterised = False
    sample_and_log_prob = sample_then_log_prob

    def noise(self, key: Key, s: int, /) -> Float[Tensor, "s n d"]:
        """Uniform noise (s, n, d) for `sample`."""
        return count_noise(key, noise_shape(self.logits, s, 2))

    def sample(self, u: Float[Tensor, "s n d"], /) -> Float[Tensor, "s n d"]:
        """The quantile at u, within the type's range; no gradient passes."""
        check_value(u, self.logits, "noise")
        return self._least(inside(double(u))).clamp_max(torch.finfo(self.logits.dtype).max).to(self.logits.dtype)

    def log_prob(self, z: Float[Tensor, "... d"], /) -> Float[Tensor, "..."]:
        """sum_d log p + z log(1 - p) in nats per datum: (s, n, d) -> (s, n)."""
        check_value(z, self.logits)
        logits, rows = at_least_float32(self.logits), not_counts(z)
        z = moved_inside(at_least_float32(z), rows, 0.0)
        return zero_density((F.logsigmoid(logits) + z * F.logsigmoid(-logits)).sum(-1), rows)

    def cdf(self, z: Float[Tensor, "... d"], /) -> Float[Tensor, "... d"]:
        """1 - (1 - p)^(z + 1) of each component, of the whole number at most z: (s, n, d)."""
        check_value(z, self.logits)
        never, whole = before(double(z))
        below = torch.where(torch.isposinf(z), 1.0, self._below(whole))
        return narrow(torch.where(never, 0.0, below), self.logits)

    def quantile(self, u: Float[Tensor, "... d"], /) -> Float[Tensor, "... d"]:
        """The least z with cdf(z) >= u in [0, 1], inf at 1: (s, n, d)."""
        check_value(u, self.logits, "u")
        check_share("u", u)
        return narrow(self._least(double(u)), self.logits)

    def log_mgf(self, t: Float[Tensor, "... d"], /) -> Float[Tensor, "... d"]:
        """log(p / (1 - (1 - p) e^t)) for t < -log(1 - p): (s, n, d)."""
        check_value(t, self.logits, "t")
        logits = double(self.logits)
        return narrow(log_mgf_of_failures(F.logsigmoid(-logits), double(t)), self.logits)

    def characteristic(self, t: Float[Tensor, "... d"], /) -> Complex[Tensor, "... d"]:
        """p / (1 - (1 - p) e^(i t)): (s, n, d)."""
        check_value(t, self.logits, "t")
        logits = double(self.logits)
        value = torch.sigmoid(logits) / (1 - torch.sigmoid(-logits) * torch.exp(imaginary(t)))
        return narrow_complex(value, self.logits)

    def mean(self) -> Float[Tensor, "*n d"]:
        """(1 - p) / p: (n, d)."""
        check_floating("logits", self.logits)
        return torch.exp(-self.logits)

    def entropy(self) -> Float[Tensor, "..."]:
        """sum_d -log p - log(1 - p) (1 - p) / p, in nats: (n,)."""
        check_floating("logits", self.logits)
        logits = double(self.logits)
        return (softplus(-logits) + _rate_by_odds(logits)).sum(-1).to(self._type())

    def kl(self, p: "Geometric", /) -> Float[Tensor, "..."]:
        """KL(self || p) in nats per datum: (n,). Exact for tiny values, and never negative."""
        return self.kl_per_dimension(p).sum(-1)

    def kl_per_dimension(self, p: "Geometric", /) -> Float[Tensor, "... d"]:
        """The Bernoullis' over self's p: (n, d); that of two exponentials where both p are below e^-40."""
        check_pair(self, p)
        logits, p_logits = double(self.logits), double(p.logits)
        rare = (logits < RARE) & (p_logits < RARE)
        gap = torch.where(rare, p_logits - logits, 0.0)
        one, other = (Bernoulli(torch.where(rare, 0.0, t)[..., None]) for t in (logits, p_logits))
        often = one.kl(other) / torch.sigmoid(one.logits[..., 0])
        return torch.where(rare, exp_less_tangent(gap), often).to(self._type())

    def tempered(self, temperature: float | Tensor, /) -> "Geometric":
        """That of failures of probability (1 - p)^(1 / T): with r = -log(1 - p) / T, logits log(e^r - 1)."""
        check_floating("logits", self.logits)
        rate = softplus(double(self.logits)) / like_field(temperature, self.logits)
        return Geometric((rate + torch.log(-torch.expm1(-rate))).to(self.logits.dtype))

    def _type(self) -> torch.dtype:
        return at_least_float32(self.logits).dtype

    def _below(self, whole: Tensor) -> Tensor:
        return -torch.expm1((whole + 1) * F.logsigmoid(-double(self.logits)))

    def _least(self, u: Tensor) -> Tensor:
        """log(1 - u) / log(1 - p) rounded up, less 1, and one more or less where rounding has passed a whole number."""
        rate = F.logsigmoid(-double(self.logits.detach()))
        z = (torch.ceil(torch.log1p(-u) / rate) - 1).clamp_min(0)
        z = torch.where((z > 0) & (self._below(z - 1).detach() >= u), z - 1, z)
        return torch.where(self._below(z).detach() < u, z + 1, z)


def _rate_by_odds(logits: Tensor) -> Tensor:
    """-log(1 - p) (1 - p) / p = log(1 + e^logits) / e^logits; by the series in e^logits where that is small."""
    small = logits < SMALL
    odds = torch.exp(torch.where(small, logits, SMALL))
    series = sum((-odds) ** k / (k + 1) for k in range(TERMS))
    return torch.where(small, series, softplus(logits) * torch.exp(-torch.where(small, 0.0, logits)))

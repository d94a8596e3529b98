"""The Bernoulli distribution."""

from itertools import product
from typing import NamedTuple

import torch
from jaxtyping import Bool, Complex, Float
from torch import Tensor
from torch.nn import functional as F

from jensen.core import keys
from jensen.core.checks import check_floating
from jensen.core.contracts import Key, WeakDerivative
from jensen.core.distributions._draw import sample_then_log_prob
from jensen.core.distributions._generating import imaginary, narrow_complex
from jensen.core.distributions._tempered import like_field
from jensen.core.distributions.shapes import check_enumerable, check_pair, check_share, check_value, noise_shape
from jensen.core.distributions.support import over_unit_interval
from jensen.core.distributions.uniform import logistic
from jensen.core.numerics import at_least_float32, double, entropy_of, kl_of_masses, narrow, softplus
from jensen.core.ops import bernoulli_log_prob


class Bernoulli(NamedTuple):
    """Independent Bernoullis with P(1) = sigmoid(logits), one per datum: field (n, d).

    Support       {0, 1}^d; in [0, 1], beyond which it reaches by `bijections.simplex.slack`, log_prob is minus a
                  cross-entropy, which relaxations differentiate
    Noise         uniform, (s, n, d)
    Closed forms  mean, entropy, KL by dimension, Renyi and alpha divergences, transport, weak derivatives, log mgf and
                  characteristic function, powers; enumerable, relaxable by a temperature
    """

    logits: Float[Tensor, "*n d"]

    reparameterised = False
    sample_and_log_prob = sample_then_log_prob

    @classmethod
    def from_mean(cls, mean: Float[Tensor, "*n d"]) -> "Bernoulli":
        """logits = log(mean / (1 - mean)), for a mean in [0, 1]; ValueError for another."""
        check_share("mean", mean)
        return cls(torch.logit(mean))

    def noise(self, key: Key, s: int, /) -> Float[Tensor, "s n d"]:
        """Uniform noise (s, n, d) for `sample`."""
        return keys.uniform(key, noise_shape(self.logits, s, 2), at_least_float32(self.logits).dtype)

    def sample(self, u: Float[Tensor, "s n d"], /) -> Float[Tensor, "s n d"]:
        """The rarer value where u is below its probability, else the other; no gradient passes.

        z = 1 where u < sigmoid(logits) for logits <= 0, and where u >= sigmoid(-logits) for others, so that small odds
        of either value are as fine as u is near 0.
        """
        check_value(u, self.logits, "noise")
        often, logits = self._often(), at_least_float32(self.logits)
        rarely = u < torch.sigmoid(-logits.abs())
        return (rarely != often).to(self.logits.dtype)

    def perturbed(self, u: Float[Tensor, "s n d"], /) -> Float[Tensor, "s n d"]:
        """t = logits + logistic noise, differentiable; `sample` gives 1 where t > 0 (Maddison et al., 2017).

        The noise is log((1 - u) / u) for logits <= 0, and log(u / (1 - u)) for others.
        """
        check_value(u, self.logits, "noise")
        return self.logits + torch.where(self._often(), 1, -1) * logistic(u)

    def perturbed_given(self, u: Float[Tensor, "s n d"], z: Float[Tensor, "s n d"], /) -> Float[Tensor, "s n d"]:
        """The same t for z = sample(u), as a draw of t given z: its derivative takes z and the noise within z as fixed.

        That noise is v = u / p for the rarer value and (u - p) / (1 - p) for the other, p the probability of the rarer
        one (Tucker et al., 2017).
        """
        often, logits = self._often(), at_least_float32(self.logits)
        p = torch.sigmoid(torch.where(often, -logits, logits))
        fixed, rarely = p.detach(), (z == 1) != often
        v = torch.where(rarely, u / fixed, (u - fixed) / (1 - fixed)).clamp(0, 1)
        again = torch.where(rarely, v * p, p + v * (1 - p))
        return self.logits + torch.where(often, 1, -1) * logistic(again)

    def relaxed(self, t: Float[Tensor, "s n d"], temperature: float | Tensor, /) -> Float[Tensor, "s n d"]:
        """sigmoid(t / temperature), in (0, 1): the Concrete relaxation."""
        return torch.sigmoid(t / temperature).to(self.logits.dtype)

    def log_prob(self, z: Float[Tensor, "... d"], /) -> Float[Tensor, "..."]:
        """log P(z) in nats per datum, for z in {0, 1}: (s, n, d) -> (s, n). `check_binary` refuses grey data."""
        check_value(z, self.logits)
        return over_unit_interval(lambda z: bernoulli_log_prob(z, self.logits), z)

    def log_mgf(self, t: Float[Tensor, "... d"], /) -> Float[Tensor, "... d"]:
        """log(1 - P(1) + P(1) e^t): (s, n, d)."""
        check_value(t, self.logits, "t")
        logits = double(self.logits)
        return narrow(softplus(logits + double(t)) - softplus(logits), self.logits)

    def characteristic(self, t: Float[Tensor, "... d"], /) -> Complex[Tensor, "... d"]:
        """1 - P(1) + P(1) e^(i t): (s, n, d)."""
        check_value(t, self.logits, "t")
        p = torch.sigmoid(double(self.logits))
        return narrow_complex(1 - p + p * torch.exp(imaginary(t)), self.logits)

    def mean(self) -> Float[Tensor, "*n d"]:
        """sigmoid(logits): (n, d)."""
        return torch.sigmoid(self.logits)

    def entropy(self) -> Float[Tensor, "..."]:
        """-sum_d P log P over both values, in nats: (n,)."""
        return entropy_of(self.log_masses()).sum(-1)

    def kl(self, p: "Bernoulli", /) -> Float[Tensor, "..."]:
        """KL(self || p) in nats per datum: (n,). Exact for tiny values, and never negative."""
        return self.kl_per_dimension(p).sum(-1)

    def kl_per_dimension(self, p: "Bernoulli", /) -> Float[Tensor, "... d"]:
        """The terms of `kl`: (n, d)."""
        check_pair(self, p)
        gap = at_least_float32(p.logits) - at_least_float32(self.logits)
        return kl_of_masses(self.log_masses(), p.log_masses(), torch.stack([torch.zeros_like(gap), gap], -1))

    def squared_wasserstein2(self, p: "Bernoulli", /) -> Float[Tensor, "..."]:
        """sum_d |P(1) - p's P(1)|: (n,)."""
        check_pair(self, p)
        q_mean, p_mean = (torch.sigmoid(at_least_float32(each.logits)) for each in (self, p))
        return (q_mean - p_mean).abs().sum(-1)

    def weak_derivatives(self, u: Float[Tensor, "s n d"], /) -> tuple[WeakDerivative]:
        """In logits, between 1 and 0 with the constant P(1) P(0)."""
        p = torch.sigmoid(self.logits.detach())
        return (WeakDerivative(self.logits, p * (1 - p), torch.ones_like(u), torch.zeros_like(u)),)

    def log_masses(self) -> Float[Tensor, "*n d 2"]:
        """log P(0) and log P(1): (n, d, 2)."""
        logits = at_least_float32(self.logits)
        return torch.stack([F.logsigmoid(-logits), F.logsigmoid(logits)], -1)

    def tempered(self, temperature: float | Tensor, /) -> "Bernoulli":
        """That of logits / T."""
        return Bernoulli((self.logits / like_field(temperature, self.logits)).to(self.logits.dtype))

    def _often(self) -> Bool[Tensor, "*n d"]:
        """Whether 1 is the value that is not the rarer one."""
        return self.logits > 0

    def support(self) -> Float[Tensor, "m n d"]:
        """All 2^d values, (2^d, n, d), for exact expectations. ValueError for more than 2^20."""
        d = self.logits.shape[-1]
        check_enumerable(2, d)
        values = torch.tensor(list(product((0.0, 1.0), repeat=d)), dtype=self.logits.dtype, device=self.logits.device)
        return values[:, None].expand(-1, *self.logits.shape)


def check_binary(x: Float[Tensor, "..."]) -> None:
    """Raises a ValueError for values other than 0 and 1, which no Bernoulli gives a probability; NaN passes through."""
    check_floating("x", x)
    grey = (x != 0) & (x != 1) & ~x.isnan()
    if grey.any():
        raise ValueError(
            f"expected x in {{0, 1}} for a Bernoulli, got {int(grey.sum())} grey values, such as "
            f"{x[grey][0].item():.4g}: binarise the data, or choose the continuous Bernoulli, or soft targets by name"
        )

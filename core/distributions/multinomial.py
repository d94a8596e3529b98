"""The multinomial distribution."""

from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from jensen.core.checks import check_floating
from jensen.core.contracts import Key
from jensen.core.distributions._draw import sample_then_log_prob
from jensen.core.distributions.binomial import binomial_quantile, check_same, check_total, log_multinomial
from jensen.core.distributions.categorical import Categorical
from jensen.core.distributions.counts import count_noise, not_counts
from jensen.core.distributions.shapes import check_pair, check_value, noise_shape
from jensen.core.distributions.support import moved_inside, zero_density
from jensen.core.distributions.uniform import inside
from jensen.core.numerics import double, narrow
from jensen.core.trees import Static


class Multinomial(NamedTuple):
    """How often each of k values comes in total_count choices with P = softmax(logits), per datum: field (n, k).

    Its entropy has no closed form, so that it is no `ClosedForm`, though its KL is in closed form.

    Support       whole numbers z_k >= 0 with sum total_count, (s, n, k)
    Noise         uniform in float64, (s, n, k)
    Closed forms  mean, KL
    """

    logits: Float[Tensor, "*n k"]
    total_count: Static[int]

    reparameterised = False
    sample_and_log_prob = sample_then_log_prob

    def noise(self, key: Key, s: int, /) -> Float[Tensor, "s n k"]:
        """Uniform noise (s, n, k) for `sample`."""
        return count_noise(key, noise_shape(self.logits, s, 2))

    def sample(self, u: Float[Tensor, "s n k"], /) -> Float[Tensor, "s n k"]:
        """Each count at its u, a binomial of the trials that are left, exact; no gradient passes.

        A draw costs k - 1 of `Binomial`'s, one after another.
        """
        check_value(u, self.logits, "noise")
        total, u = check_total(self.total_count), inside(double(u))
        logits = double(self.logits.detach())
        later = torch.logcumsumexp(logits.flip(-1), -1).flip(-1)
        left, counts = torch.full_like(u[..., 0], total), []
        for j in range(logits.shape[-1] - 1):
            odds = logits[..., j] - later[..., j + 1]
            counts.append(binomial_quantile(u[..., j], left, odds, total))
            left = left - counts[-1]
        return torch.stack([*counts, left], -1).to(self.logits.dtype)

    def log_prob(self, z: Float[Tensor, "... k"], /) -> Float[Tensor, "..."]:
        """log N! + sum_k z log P - log z! in nats per datum: (s, n, k) -> (s, n)."""
        check_value(z, self.logits)
        total = check_total(self.total_count)
        counts = double(z)
        rows = not_counts(counts, float(total)) | ((counts.sum(-1) - total).abs() > 0)  # of NaN neither
        counts = moved_inside(counts, rows, total / z.shape[-1])
        log_p = log_multinomial(counts, torch.log_softmax(double(self.logits), -1))
        return narrow(zero_density(log_p, rows), self.logits)

    def mean(self) -> Float[Tensor, "*n k"]:
        """N P: (n, k)."""
        check_floating("logits", self.logits)
        return check_total(self.total_count) * torch.softmax(self.logits, -1)

    def kl(self, p: "Multinomial", /) -> Float[Tensor, "..."]:
        """KL(self || p) in nats per datum, for the same N: (n,), N times that of the choices."""
        check_pair(self, p)
        check_same(self.total_count, p.total_count)
        one, other = (Categorical(q.logits[..., None, :]) for q in (self, p))
        return check_total(self.total_count) * one.kl(other)

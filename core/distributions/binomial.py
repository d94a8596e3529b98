"""The binomial distribution."""

from itertools import product
from typing import NamedTuple

import torch
from jaxtyping import Complex, Float
from torch import Tensor
from torch.nn import functional as F

from jensen.core.checks import check_count, check_floating, described
from jensen.core.contracts import Key
from jensen.core.distributions._draw import sample_then_log_prob
from jensen.core.distributions._generating import narrow_complex
from jensen.core.distributions.bernoulli import Bernoulli
from jensen.core.distributions.counts import before, count_noise, least_count, not_counts
from jensen.core.distributions.shapes import check_enumerable, check_pair, check_share, check_value, noise_shape
from jensen.core.distributions.support import moved_inside, zero_density
from jensen.core.distributions.uniform import inside
from jensen.core.numerics import double, entropy_of, log_gamma_rest, narrow
from jensen.core.numerics.incomplete_beta import log_beta_tails
from jensen.core.trees import Static

FEW = 128  # trials whose masses are summed


class Binomial(NamedTuple):
    """The successes of total_count Bernoullis, independent components, one per datum: field (n, d).

    P(z) = N! / (z! (N - z)!) p^z (1 - p)^(N - z), N = total_count, p = sigmoid(logits).

    Support       {0, ..., N}^d
    Noise         uniform in float64, (s, n, d)
    Closed forms  mean, entropy (by all N + 1 masses), KL by dimension, cdf and quantile, log mgf and characteristic
                  function; enumerable
    """

    logits: Float[Tensor, "*n d"]
    total_count: Static[int]

    reparameterised = False
    sample_and_log_prob = sample_then_log_prob

    def noise(self, key: Key, s: int, /) -> Float[Tensor, "s n d"]:
        """Uniform noise (s, n, d) for `sample`."""
        return count_noise(key, noise_shape(self.logits, s, 2))

    def sample(self, u: Float[Tensor, "s n d"], /) -> Float[Tensor, "s n d"]:
        """The quantile at u, exact; no gradient passes.

        A draw costs all N + 1 masses for N <= 128, and log2(N) + 4 incomplete beta functions for more.
        """
        check_value(u, self.logits, "noise")
        return self._least(inside(double(u))).to(self.logits.dtype)

    def log_prob(self, z: Float[Tensor, "... d"], /) -> Float[Tensor, "..."]:
        """sum_d log P(z) in nats per datum: (s, n, d) -> (s, n), without the main terms of the factorials."""
        check_value(z, self.logits)
        rows = not_counts(z, float(self._total()))
        z = moved_inside(double(z), rows, 0.0)
        return narrow(zero_density(self._log_masses(z).sum(-1), rows), self.logits)

    def cdf(self, z: Float[Tensor, "... d"], /) -> Float[Tensor, "... d"]:
        """P(z_d' <= z_d) of each component: (s, n, d); no gradient passes."""
        check_value(z, self.logits)
        never, whole = before(double(z.detach()))
        below = binomial_cdf(whole, self._totals(), double(self.logits.detach()), self._total())
        return narrow(torch.where(never, 0.0, below), self.logits)

    def quantile(self, u: Float[Tensor, "... d"], /) -> Float[Tensor, "... d"]:
        """The least z with cdf(z) >= u in [0, 1]: (s, n, d)."""
        check_value(u, self.logits, "u")
        check_share("u", u)
        return narrow(torch.where(u == 1, float(self._total()), self._least(double(u))), self.logits)

    def log_mgf(self, t: Float[Tensor, "... d"], /) -> Float[Tensor, "... d"]:
        """N times the Bernoullis': (s, n, d)."""
        return self._total() * Bernoulli(self.logits).log_mgf(t)

    def characteristic(self, t: Float[Tensor, "... d"], /) -> Complex[Tensor, "... d"]:
        """The Bernoullis' to the power N: (s, n, d)."""
        of_one = Bernoulli(double(self.logits)).characteristic(t.to(torch.float64))
        return narrow_complex(of_one ** self._total(), self.logits)

    def mean(self) -> Float[Tensor, "*n d"]:
        """N p: (n, d)."""
        check_floating("logits", self.logits)
        return self._total() * torch.sigmoid(self.logits)

    def entropy(self) -> Float[Tensor, "..."]:
        """-sum_z P log P, in nats: (n,). ValueError for N >= 2^20."""
        return entropy_of(self.log_masses()).sum(-1)

    def kl(self, p: "Binomial", /) -> Float[Tensor, "..."]:
        """KL(self || p) in nats per datum, for the same N: (n,). Exact for tiny values, and never negative."""
        return self.kl_per_dimension(p).sum(-1)

    def kl_per_dimension(self, p: "Binomial", /) -> Float[Tensor, "... d"]:
        """N times that of the Bernoullis: (n, d)."""
        check_pair(self, p)
        check_same(self.total_count, p.total_count)
        return self._total() * Bernoulli(self.logits).kl_per_dimension(Bernoulli(p.logits))

    def log_masses(self) -> Float[Tensor, "*n d k"]:
        """log P of 0 … N: (n, d, N + 1). ValueError for N >= 2^20."""
        check_enumerable(self._total() + 1, 1)
        check_floating("logits", self.logits)
        z = torch.arange(self._total() + 1, dtype=torch.float64, device=self.logits.device)
        return narrow(Binomial(self.logits[..., None], self.total_count)._log_masses(z), self.logits)

    def support(self) -> Float[Tensor, "m n d"]:
        """All (N + 1)^d values, ((N + 1)^d, n, d), for exact expectations. ValueError for more than 2^20."""
        values, d = self._total() + 1, self.logits.shape[-1]
        check_enumerable(values, d)
        listed = torch.tensor(list(product(range(values), repeat=d)), device=self.logits.device)
        return listed.to(self.logits.dtype)[:, None].expand(-1, *self.logits.shape)

    def _log_masses(self, z: Tensor) -> Tensor:
        """By component, in float64."""
        logits = double(self.logits)
        pair = torch.stack([z, self._total() - z], -1)
        return log_multinomial(pair, torch.stack([F.logsigmoid(logits), F.logsigmoid(-logits)], -1))

    def _least(self, u: Tensor) -> Tensor:
        return binomial_quantile(u, self._totals(), double(self.logits.detach()), self._total())

    def _totals(self) -> Tensor:
        return torch.full_like(double(self.logits.detach()), self._total())

    def _total(self) -> int:
        return check_total(self.total_count)


def check_total(total_count: Static[int]) -> int:
    """The number of trials; TypeError or ValueError unless it is a static whole number >= 0."""
    if not isinstance(total_count, Static):
        raise TypeError(
            f"expected total_count, a static whole number, got {described(total_count)}: pass Static({total_count})"
        )
    return check_count("total_count", total_count.value, 0)


def check_same(q: Static[int], p: Static[int]) -> None:
    """ValueError unless q and p have as many trials."""
    if check_total(q) != check_total(p):
        raise ValueError(f"expected p of {q.value} trials as q, got {p.value}: average log(q / p) over samples")


def log_multinomial(z: Float[Tensor, "... k"], log_p: Float[Tensor, "... k"]) -> Float[Tensor, "..."]:
    """log of (sum_k z)! / prod_k z! prod_k p^z for z >= 0, in float64, without the main terms of the factorials.

    The rest of the first one less sum_k z log(z / (p sum_k z)) + the rest of z!: no large terms cancel.
    """
    total = z.sum(-1, keepdim=True)
    none = z == 0
    some = torch.where(none, 1.0, z)
    main = some * (torch.log(some / torch.where(total == 0, 1.0, total)) - log_p)
    return _log_factorial_rest(total[..., 0]) - (torch.where(none, 0.0, main) + _log_factorial_rest(z)).sum(-1)


def _log_factorial_rest(z: Float[Tensor, "..."]) -> Float[Tensor, "..."]:
    """log z! - (z log z - z), 0 at 0."""
    some = torch.where(z == 0, 1.0, z)
    return torch.where(z == 0, 0.0, log_gamma_rest(some) + torch.log(some))


def binomial_cdf(
    z: Float[Tensor, "..."], total: Float[Tensor, "..."], logits: Float[Tensor, "..."], most: int
) -> Float[Tensor, "..."]:
    """P of at most z of `total` successes, z >= 0 whole: I_(1 - p)(total - z, z + 1); total is at most `most`."""
    below, _ = log_beta_tails(-logits, (total - z).clamp_min(1.0), z + 1, 60 + int(most**0.5) // 2)
    return torch.where(z >= total, 1.0, below.exp())


def binomial_quantile(
    u: Float[Tensor, "..."], total: Float[Tensor, "..."], logits: Float[Tensor, "..."], most: int
) -> Float[Tensor, "..."]:
    """The least z with that cdf at least u: of few trials by the sum of all masses."""
    u, total, logits = torch.broadcast_tensors(u, total, logits)
    if most > FEW:
        return least_count(lambda z: binomial_cdf(z, total, logits, most), u, total, most.bit_length() + 3)
    z = torch.arange(most + 1, dtype=u.dtype, device=u.device)
    pair = torch.stack(torch.broadcast_tensors(z, (total[..., None] - z).clamp_min(0)), -1)
    log_p = torch.stack([F.logsigmoid(logits), F.logsigmoid(-logits)], -1)[..., None, :]
    below = torch.exp(log_multinomial(pair, log_p)).cumsum(-1)
    return torch.minimum((below < u[..., None]).sum(-1), total)

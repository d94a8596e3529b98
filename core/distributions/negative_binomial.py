"""The negative binomial distribution."""

from typing import NamedTuple

import torch
from jaxtyping import Complex, Float
from torch import Tensor
from torch.nn import functional as F

from jensen.core.bijections import Positive
from jensen.core.contracts import Key
from jensen.core.distributions._draw import sample_then_log_prob
from jensen.core.distributions._generating import imaginary, narrow_complex
from jensen.core.distributions.binomial import log_multinomial
from jensen.core.distributions.counts import before, count_noise, least_count, log_mgf_of_failures, not_counts
from jensen.core.distributions.fields import check_domains
from jensen.core.distributions.gamma_tails import standard_gamma_quantile
from jensen.core.distributions.poisson import Poisson
from jensen.core.distributions.shapes import check_fields, check_share, check_value, noise_shape
from jensen.core.distributions.support import moved_inside, zero_density
from jensen.core.distributions.uniform import inside
from jensen.core.numerics import double, narrow
from jensen.core.numerics.incomplete_beta import log_beta_tails

MOST = 2.0**40  # the largest quantile


class NegativeBinomial(NamedTuple):
    """Poisson counts of a gamma's rate: the successes of Bernoulli(logits) before so many failures, fields (n, d).

    P(z) = Gamma(z + r) / (Gamma(r) z!) (1 - p)^r p^z, r = total_count > 0, p = sigmoid(logits); mean r p / (1 - p),
    variance r p / (1 - p)^2. r = 1 is Geometric(-logits). Neither entropy nor KL has a closed form: average
    log(q / p) over samples.

    Support       whole numbers z >= 0
    Noise         uniform in float64, (s, n, d, 2)
    Closed forms  cdf and quantile, log mgf and characteristic function
    """

    total_count: Float[Tensor, "*n d"]
    logits: Float[Tensor, "*n d"]

    reparameterised = False
    sample_and_log_prob = sample_then_log_prob
    domains = {"total_count": Positive()}  # noqa: RUF012

    def noise(self, key: Key, s: int, /) -> Float[Tensor, "s n d 2"]:
        """Uniform noise (s, n, d, 2) for `sample`."""
        return count_noise(key, (*noise_shape(self.logits, s, 2), 2))

    def sample(self, u: Float[Tensor, "s n d 2"], /) -> Float[Tensor, "s n d"]:
        """A Poisson's at one part of u, its rate e^logits times Gamma(r)'s at the other; no gradient passes."""
        self._check()
        check_value(u, torch.stack([self.logits, self.logits], -1), "noise")
        of_rate, of_count = inside(double(u)).unbind(-1)
        rate = standard_gamma_quantile(of_rate, self.total_count.detach()) * torch.exp(double(self.logits.detach()))
        return Poisson(rate.clamp_min(1e-300)).sample(of_count).to(self.logits.dtype)

    def log_prob(self, z: Float[Tensor, "... d"], /) -> Float[Tensor, "..."]:
        """sum_d log P(z) in nats per datum: (s, n, d) -> (s, n), without the main terms of the gamma functions."""
        self._check()
        check_value(z, self.logits)
        rows = not_counts(z)
        z = moved_inside(double(z), rows, 0.0)
        r, logits = double(self.total_count), double(self.logits)
        log_share = torch.log(r / (z + r))  # of orders whose last trial is a failure
        pair = torch.stack([z, r.expand_as(z)], -1)
        log_p = torch.stack([F.logsigmoid(logits), F.logsigmoid(-logits)], -1)
        return narrow(zero_density((log_multinomial(pair, log_p) + log_share).sum(-1), rows), self.logits)

    def cdf(self, z: Float[Tensor, "... d"], /) -> Float[Tensor, "... d"]:
        """P(z_d' <= z_d) of each component: (s, n, d); no gradient passes. For means and r up to 1e4."""
        self._check()
        check_value(z, self.logits)
        never, whole = before(double(z.detach()))
        below = torch.where(torch.isposinf(z), 1.0, self._below(whole))
        return narrow(torch.where(never, 0.0, below), self.logits)

    def quantile(self, u: Float[Tensor, "... d"], /) -> Float[Tensor, "... d"]:
        """The least z with cdf(z) >= u in [0, 1], inf at 1: (s, n, d). At most 2^40; it costs 43 times a `cdf`."""
        self._check()
        check_value(u, self.logits, "u")
        check_share("u", u)
        least = least_count(self._below, double(u), torch.full_like(double(u), MOST), 43)
        return narrow(torch.where(u == 1, torch.inf, least), self.logits)

    def log_mgf(self, t: Float[Tensor, "... d"], /) -> Float[Tensor, "... d"]:
        """r log((1 - p) / (1 - p e^t)) for t < -log p: (s, n, d)."""
        self._check()
        check_value(t, self.logits, "t")
        logits = double(self.logits)
        return narrow(double(self.total_count) * log_mgf_of_failures(F.logsigmoid(logits), double(t)), self.logits)

    def characteristic(self, t: Float[Tensor, "... d"], /) -> Complex[Tensor, "... d"]:
        """((1 - p) / (1 - p e^(i t)))^r: (s, n, d)."""
        self._check()
        check_value(t, self.logits, "t")
        logits = double(self.logits)
        log_value = F.logsigmoid(-logits) - torch.log(1 - torch.sigmoid(logits) * torch.exp(imaginary(t)))
        return narrow_complex(torch.exp(double(self.total_count) * log_value), self.logits)

    def mean(self) -> Float[Tensor, "*n d"]:
        """r e^logits: (n, d)."""
        self._check()
        return self.total_count * torch.exp(self.logits)

    def _below(self, whole: Tensor) -> Tensor:
        """I_(1 - p)(r, whole + 1), in float64."""
        below, _ = log_beta_tails(-double(self.logits.detach()), double(self.total_count.detach()), whole + 1)
        return below.exp()

    def _check(self) -> None:
        check_fields(total_count=self.total_count, logits=self.logits)
        check_domains(self)

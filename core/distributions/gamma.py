"""The gamma distribution."""

from typing import NamedTuple

import torch
from jaxtyping import Complex, Float
from torch import Tensor

from jensen.core import keys
from jensen.core.bijections import Positive
from jensen.core.contracts import Key
from jensen.core.distributions._draw import sample_then_log_prob
from jensen.core.distributions._generating import imaginary, narrow_complex
from jensen.core.distributions._tempered import like_field, powered
from jensen.core.distributions.edge_cells import cell_excess, smallest
from jensen.core.distributions.fields import check_domains
from jensen.core.distributions.gamma_tails import log_mgf_of_gamma, standard_gamma_cdf, standard_gamma_quantile
from jensen.core.distributions.shapes import check_fields, check_pair, check_share, check_value, noise_shape
from jensen.core.distributions.standard_gamma import log_standard_gamma
from jensen.core.distributions.support import moved_inside, outside, with_ends, zero_density
from jensen.core.numerics import (
    at_least_float32,
    digamma_rest,
    double,
    exp_less_tangent,
    log_gamma_rest,
    log_gamma_rest_divergence,
    log_ratio,
    narrow,
)


class Gamma(NamedTuple):
    """Independent densities z^(a - 1) e^(-b z) b^a / Gamma(a), one per datum: fields (n, d).

    a = concentration > 0, b = rate > 0, in units of 1 / z.

    Support       z > 0; at 0 log_prob is its limit, which may be -inf or inf; at the type's least normal number that
                  of all below it, see `edge_cells`
    Noise         uniform, (s, n, d)
    Closed forms  mean, entropy, KL by dimension, cdf and quantile, log mgf and characteristic function, powers
    """

    concentration: Float[Tensor, "*n d"]
    rate: Float[Tensor, "*n d"]

    reparameterised = True
    sample_and_log_prob = sample_then_log_prob
    domains = {"concentration": Positive(), "rate": Positive()}  # noqa: RUF012

    def noise(self, key: Key, s: int, /) -> Float[Tensor, "s n d"]:
        """Uniform noise (s, n, d) for `sample`."""
        shape = noise_shape(self.concentration, s, 2)
        return keys.uniform(key, shape, at_least_float32(self.concentration).dtype)

    def sample(self, u: Float[Tensor, "s n d"], /) -> Float[Tensor, "s n d"]:
        """The quantile at u, between the type's least normal and largest numbers; differentiable in both fields.

        The gradient in the concentration is the implicit one (Figurnov et al., 2018), that in the rate of scaling;
        both are constants to a second derivative. u has no gradient. Of a concentration of 0.05 1 % are the least
        number, in float32.
        """
        self._check()
        check_value(u, self.concentration, "noise")
        log_z = log_standard_gamma(u, self.concentration) - torch.log(double(self.rate))
        range_ = torch.finfo(self.concentration.dtype)
        z = log_z.detach().exp().clamp(range_.tiny, range_.max).to(self.concentration.dtype)
        return z + z * (log_z - log_z.detach()).to(z.dtype)  # d log z is right at the ends of the range too

    def log_prob(self, z: Float[Tensor, "... d"], /) -> Float[Tensor, "..."]:
        """sum_d a log b + (a - 1) log z - b z - log Gamma(a) in nats per datum: (s, n, d) -> (s, n).

        As (a - 1) log z - a log(a / b) - (b z - a) - r(a), r of `log_gamma_rest`; near the mean a / b, where the first
        two cancel, with a log(1 + (b z - a) / a) - log z.
        """
        self._check()
        check_value(z, self.concentration)
        rows = outside(z, 0.0)
        terms = self._log_densities(moved_inside(double(z), rows, 1.0))
        terms = terms + cell_excess(smallest(z), double(self.concentration))
        return narrow(zero_density(terms.sum(-1), rows), self.concentration)

    def bijection(self) -> Positive:
        """Onto z > 0."""
        return Positive()

    def cdf(self, z: Float[Tensor, "... d"], /) -> Float[Tensor, "... d"]:
        """P(a, b z) of each component, (s, n, d), 0 for z <= 0; differentiable."""
        self._check()
        check_value(z, self.concentration)
        below = with_ends(lambda z: standard_gamma_cdf(double(self.rate) * double(z), self.concentration), z)
        return narrow(below, self.concentration)

    def quantile(self, u: Float[Tensor, "... d"], /) -> Float[Tensor, "... d"]:
        """The z with cdf(z) = u in [0, 1]: (s, n, d), differentiable in both fields as `sample` is."""
        self._check()
        check_value(u, self.concentration, "u")
        check_share("u", u)
        z = standard_gamma_quantile(double(u), self.concentration) / double(self.rate)
        return narrow(z, self.concentration)

    def log_mgf(self, t: Float[Tensor, "... d"], /) -> Float[Tensor, "... d"]:
        """-a log(1 - t / b) for t < b: (s, n, d)."""
        self._check()
        check_value(t, self.rate, "t")
        return narrow(log_mgf_of_gamma(double(self.concentration), double(t) / double(self.rate)), self.rate)

    def characteristic(self, t: Float[Tensor, "... d"], /) -> Complex[Tensor, "... d"]:
        """(1 - i t / b)^-a: (s, n, d)."""
        self._check()
        check_value(t, self.rate, "t")
        log_value = -double(self.concentration) * torch.log(1 - imaginary(t) / double(self.rate))
        return narrow_complex(torch.exp(log_value), self.rate)

    def mean(self) -> Float[Tensor, "*n d"]:
        """a / b: (n, d)."""
        self._check()
        return self.concentration / self.rate

    def entropy(self) -> Float[Tensor, "..."]:
        """sum_d a - log b + log Gamma(a) + (1 - a) digamma(a), in nats: (n,); from what is left of their main terms."""
        self._check()
        a, b = double(self.concentration), double(self.rate)
        terms = torch.log(a) - torch.log(b) + log_gamma_rest(a) + (1 - a) * digamma_rest(a)
        return narrow(terms.sum(-1), self.concentration)

    def kl(self, p: "Gamma", /) -> Float[Tensor, "..."]:
        """KL(self || p) in nats per datum: (n,). Exact for tiny values, and never negative.

        sum_d a_p (e^t - 1 - t) + R(a_p, a), with t the log of a / b over a_p / b_p and R of
        `log_gamma_rest_divergence`.
        """
        return narrow(self._kl_terms(p).sum(-1), self.concentration)

    def kl_per_dimension(self, p: "Gamma", /) -> Float[Tensor, "... d"]:
        """The terms of `kl`: (n, d)."""
        return narrow(self._kl_terms(p), self.concentration)

    def tempered(self, temperature: float | Tensor, /) -> "Gamma":
        """Gamma((a - 1) / T + 1, b / T), where that concentration is above 0."""
        self._check()
        t = like_field(temperature, self.rate)
        a = powered((double(self.concentration) - 1) / t + 1, t, self.rate, "concentration")
        return Gamma(a, (double(self.rate) / t).to(self.rate.dtype))

    def _log_densities(self, z: Tensor) -> Tensor:
        """Of z in float64, by component, without cells at the edge."""
        a, b = double(self.concentration), double(self.rate)
        off = b * z - a
        near = off.abs() < 0.5 * a
        close = a * torch.log1p(torch.where(near, off / a, 0.0)) - torch.log(torch.where(near, z, 1.0))
        far = torch.xlogy(a - 1, z) - a * torch.log(a / b)
        return torch.where(near, close, far) - off - log_gamma_rest(a)

    def _kl_terms(self, p: "Gamma") -> Tensor:
        check_pair(self, p)
        self._check()
        p._check()
        a, b, a_p, b_p = (double(t) for t in (*self, *p))
        return a_p * exp_less_tangent(log_ratio(b_p, b) - log_ratio(a_p, a)) + log_gamma_rest_divergence(a_p, a)

    def _check(self) -> None:
        check_fields(concentration=self.concentration, rate=self.rate)
        check_domains(self)

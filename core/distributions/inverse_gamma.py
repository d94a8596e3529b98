"""The inverse gamma distribution."""

from typing import NamedTuple

import torch
from jaxtyping import Complex, Float
from torch import Tensor

from jensen.core.bijections import Positive
from jensen.core.contracts import Key
from jensen.core.distributions._draw import sample_then_log_prob
from jensen.core.distributions._generating import imaginary, narrow_complex
from jensen.core.distributions._tempered import like_field, powered
from jensen.core.distributions.edge_cells import cell_excess, largest
from jensen.core.distributions.expectations import of_inverse_gamma
from jensen.core.distributions.fields import check_domains
from jensen.core.distributions.gamma import Gamma
from jensen.core.distributions.gamma_tails import standard_gamma_survival, standard_gamma_upper_quantile
from jensen.core.distributions.shapes import check_fields, check_pair, check_share, check_value
from jensen.core.distributions.standard_gamma import log_standard_gamma
from jensen.core.distributions.support import moved_inside, outside, zero_density
from jensen.core.numerics import digamma_rest, double, log_ratio, narrow


class InverseGamma(NamedTuple):
    """z with 1 / z from Gamma(concentration, rate), independent components, one per datum: fields (n, d).

    a = concentration > 0, b = rate > 0, in units of z: densities b^a z^(-a - 1) e^(-b / z) / Gamma(a).

    Support       z > 0; at 0 log_prob is its limit, -inf; at the type's largest number that of all above it, see
                  `edge_cells`
    Noise         uniform, (s, n, d)
    Closed forms  mean, entropy, KL by dimension, cdf and quantile, characteristic function, powers
    """

    concentration: Float[Tensor, "*n d"]
    rate: Float[Tensor, "*n d"]

    reparameterised = True
    sample_and_log_prob = sample_then_log_prob
    domains = {"concentration": Positive(), "rate": Positive()}  # noqa: RUF012

    def noise(self, key: Key, s: int, /) -> Float[Tensor, "s n d"]:
        """Uniform noise (s, n, d) for `sample`."""
        return self._inverse().noise(key, s)

    def sample(self, u: Float[Tensor, "s n d"], /) -> Float[Tensor, "s n d"]:
        """One over the gamma at u, between the type's least normal and largest numbers; differentiable, as it is."""
        self._check()
        check_value(u, self.concentration, "noise")
        log_z = torch.log(double(self.rate)) - log_standard_gamma(u, self.concentration)
        range_ = torch.finfo(self.rate.dtype)
        z = log_z.detach().exp().clamp(range_.tiny, range_.max).to(self.rate.dtype)
        return z + z * (log_z - log_z.detach()).to(z.dtype)  # d log z is right at the ends of the range too

    def log_prob(self, z: Float[Tensor, "... d"], /) -> Float[Tensor, "..."]:
        """The gamma's at 1 / z, less sum_d 2 log z, in nats per datum: (s, n, d) -> (s, n)."""
        check_value(z, self.concentration)
        rows = outside(torch.where(z == 0, -1.0, z), 0.0)
        wide = moved_inside(double(z), rows, 1.0)
        terms = self._inverse()._log_densities(1 / wide) - 2 * torch.log(wide)
        terms = terms + cell_excess(largest(z), double(self.concentration))
        return narrow(zero_density(terms.sum(-1), rows), self.concentration)

    def bijection(self) -> Positive:
        """Onto z > 0."""
        return Positive()

    def cdf(self, z: Float[Tensor, "... d"], /) -> Float[Tensor, "... d"]:
        """P(1 / z' >= 1 / z) of each component, (s, n, d), 0 for z <= 0; differentiable."""
        self._check()
        check_value(z, self.concentration)
        never, x = z <= 0, double(self.rate) / torch.where(z <= 0, 1.0, double(z))
        return narrow(torch.where(never, 0.0, standard_gamma_survival(x, self.concentration)), self.rate)

    def quantile(self, u: Float[Tensor, "... d"], /) -> Float[Tensor, "... d"]:
        """b over the standard gamma's quantile at 1 - u, for u in [0, 1]: (s, n, d), with all digits of a small u."""
        self._check()
        check_value(u, self.concentration, "u")
        check_share("u", u)
        return narrow(double(self.rate) / standard_gamma_upper_quantile(double(u), self.concentration), self.rate)

    def characteristic(self, t: Float[Tensor, "... d"], /) -> Complex[Tensor, "... d"]:
        """2 (-i b t)^(a / 2) K_a(2 (-i b t)^(1 / 2)) / Gamma(a), by quadrature: (s, n, d). For a >= 0.05."""
        self._check()
        check_value(t, self.rate, "t")
        log_value = of_inverse_gamma(imaginary(t) * double(self.rate), double(self.concentration))
        return narrow_complex(torch.exp(log_value), self.rate)

    def mean(self) -> Float[Tensor, "*n d"]:
        """b / (a - 1) where a > 1, else inf: (n, d)."""
        self._check()
        finite = self.concentration > 1
        return torch.where(finite, self.rate / torch.where(finite, self.concentration - 1, 1.0), torch.inf)

    def entropy(self) -> Float[Tensor, "..."]:
        """The gamma's - 2 sum_d E[log 1 / z], in nats: (n,), with E[log 1 / z] = digamma(a) - log b."""
        gamma = Gamma(*map(double, self._inverse()))
        log_inverse = digamma_rest(gamma.concentration) + log_ratio(gamma.concentration, gamma.rate)
        return narrow(gamma.entropy() - 2 * log_inverse.sum(-1), self.concentration)

    def kl(self, p: "InverseGamma", /) -> Float[Tensor, "..."]:
        """KL(self || p) in nats per datum: (n,), that of the gammas."""
        check_pair(self, p)
        return self._inverse().kl(p._inverse())

    def kl_per_dimension(self, p: "InverseGamma", /) -> Float[Tensor, "... d"]:
        """The terms of `kl`: (n, d)."""
        check_pair(self, p)
        return self._inverse().kl_per_dimension(p._inverse())

    def tempered(self, temperature: float | Tensor, /) -> "InverseGamma":
        """InverseGamma((a + 1) / T - 1, b / T), for T < a + 1."""
        self._check()
        t = like_field(temperature, self.rate)
        a = powered((double(self.concentration) + 1) / t - 1, t, self.rate, "concentration")
        return InverseGamma(a, (double(self.rate) / t).to(self.rate.dtype))

    def _inverse(self) -> Gamma:
        """Of 1 / z."""
        self._check()
        return Gamma(self.concentration, self.rate)

    def _check(self) -> None:
        check_fields(concentration=self.concentration, rate=self.rate)
        check_domains(self)

"""The Pareto distribution."""

from typing import NamedTuple

import torch
from jaxtyping import Complex, Float
from torch import Tensor

from jensen.core import keys
from jensen.core.bijections import Above, Positive
from jensen.core.contracts import Key
from jensen.core.distributions._draw import sample_then_log_prob
from jensen.core.distributions._generating import imaginary, narrow_complex
from jensen.core.distributions._tempered import like_field, powered
from jensen.core.distributions.edge_cells import cell_excess, largest
from jensen.core.distributions.expectations import of_pareto
from jensen.core.distributions.fields import check_domains
from jensen.core.distributions.shapes import check_fields, check_pair, check_share, check_value, noise_shape
from jensen.core.distributions.support import moved_inside, outside, with_ends, zero_density
from jensen.core.distributions.uniform import exponential
from jensen.core.numerics import at_least_float32, double, exp_less_tangent, log_ratio


class Pareto(NamedTuple):
    """Independent densities a m^a z^(-a - 1) of z > m, one per datum: fields (n, d).

    m = scale > 0, a = concentration > 0: log(z / m) is exponential of rate a. The support moves with the scale, so that
    its score function is biased: use paths.

    Support       z > m; at m log_prob is its limit; at the type's largest number that of all above it, see `edge_cells`
    Noise         uniform, (s, n, d)
    Closed forms  mean, entropy, KL by dimension, cdf and quantile, characteristic function, powers
    """

    scale: Float[Tensor, "*n d"]
    concentration: Float[Tensor, "*n d"]

    reparameterised = True
    sample_and_log_prob = sample_then_log_prob
    domains = {"scale": Positive(), "concentration": Positive()}  # noqa: RUF012

    def noise(self, key: Key, s: int, /) -> Float[Tensor, "s n d"]:
        """Uniform noise (s, n, d) for `sample`."""
        return keys.uniform(key, noise_shape(self.scale, s, 2), at_least_float32(self.scale).dtype)

    def sample(self, u: Float[Tensor, "s n d"], /) -> Float[Tensor, "s n d"]:
        """The quantile at u, above the scale and within the type's range; differentiable in both fields."""
        self._check()
        check_value(u, self.scale, "noise")
        z = self._at(exponential(u)).to(self.scale.dtype)
        most = torch.full_like(self.scale, torch.finfo(self.scale.dtype).max)
        return z.clamp(torch.nextafter(self.scale, most), most)

    def log_prob(self, z: Float[Tensor, "... d"], /) -> Float[Tensor, "..."]:
        """sum_d log a - log z - a log(z / m) in nats per datum: (s, n, d) -> (s, n)."""
        self._check()
        check_value(z, self.scale)
        scale, a = at_least_float32(self.scale), at_least_float32(self.concentration)
        rows = outside(at_least_float32(z) - scale, 0.0)
        wide = moved_inside(at_least_float32(z), rows, scale)
        terms = torch.log(a) - torch.log(wide) - a * log_ratio(wide, scale)
        return zero_density((terms + cell_excess(largest(z), a)).sum(-1), rows)

    def bijection(self) -> Above:
        """Onto z > m."""
        self._check()
        return Above(self.scale)

    def cdf(self, z: Float[Tensor, "... d"], /) -> Float[Tensor, "... d"]:
        """1 - (m / z)^a of each component, (s, n, d), 0 for z <= m; differentiable."""
        self._check()
        check_value(z, self.scale)
        scale, concentration = at_least_float32(self.scale), at_least_float32(self.concentration)

        def below(z: Tensor) -> Tensor:
            return -torch.expm1(-concentration * log_ratio(torch.maximum(at_least_float32(z), scale), scale))

        return with_ends(below, z)

    def quantile(self, u: Float[Tensor, "... d"], /) -> Float[Tensor, "... d"]:
        """m (1 - u)^(-1 / a) for u in [0, 1]: (s, n, d)."""
        self._check()
        check_value(u, self.scale, "u")
        check_share("u", u)
        return self._at(-torch.log1p(-at_least_float32(u)))

    def characteristic(self, t: Float[Tensor, "... d"], /) -> Complex[Tensor, "... d"]:
        """a (-i m t)^a Gamma(-a, -i m t), by quadrature: (s, n, d). For a >= 0.1."""
        self._check()
        check_value(t, self.scale, "t")
        log_value = of_pareto(imaginary(t) * double(self.scale), double(self.concentration))
        return narrow_complex(torch.exp(log_value), self.scale)

    def mean(self) -> Float[Tensor, "*n d"]:
        """m a / (a - 1) where a > 1, else inf: (n, d)."""
        self._check()
        finite, a = self.concentration > 1, self.concentration
        return torch.where(finite, self.scale * a / torch.where(finite, a - 1, 1.0), torch.inf)

    def entropy(self) -> Float[Tensor, "..."]:
        """sum_d log(m / a) + 1 + 1 / a, in nats: (n,)."""
        self._check()
        scale, a = at_least_float32(self.scale), at_least_float32(self.concentration)
        return (torch.log(scale) - torch.log(a) + 1 + 1 / a).sum(-1)

    def kl(self, p: "Pareto", /) -> Float[Tensor, "..."]:
        """KL(self || p) in nats per datum: (n,), inf where self reaches below p's scale."""
        return self.kl_per_dimension(p).sum(-1)

    def kl_per_dimension(self, p: "Pareto", /) -> Float[Tensor, "... d"]:
        """e^t - 1 - t + a_p log(m / m_p): (n, d), with t = log(a_p / a)."""
        check_pair(self, p)
        self._check()
        p._check()
        scale, a, p_scale, p_a = (at_least_float32(t) for t in (*self, *p))
        above = p_a * log_ratio(scale, p_scale)
        return torch.where(scale < p_scale, torch.inf, exp_less_tangent(log_ratio(p_a, a)) + above)

    def tempered(self, temperature: float | Tensor, /) -> "Pareto":
        """Pareto(m, (a + 1) / T - 1), for T < a + 1."""
        self._check()
        t = like_field(temperature, self.scale)
        return Pareto(self.scale, powered((self.concentration + 1) / t - 1, t, self.scale, "concentration"))

    def _at(self, exponent: Tensor) -> Tensor:
        return at_least_float32(self.scale) * torch.exp(exponent / at_least_float32(self.concentration))

    def _check(self) -> None:
        check_fields(scale=self.scale, concentration=self.concentration)
        check_domains(self)

"""The beta distribution."""

from typing import NamedTuple

import torch
from jaxtyping import Complex, Float
from torch import Tensor

from jensen.core import keys
from jensen.core.bijections import Positive, UnitInterval
from jensen.core.contracts import Key
from jensen.core.distributions._draw import sample_then_log_prob
from jensen.core.distributions._generating import imaginary, narrow_complex, real_part
from jensen.core.distributions._tempered import like_field, powered
from jensen.core.distributions.beta_tails import beta_cdf, beta_quantile
from jensen.core.distributions.dirichlet import Dirichlet, log_density
from jensen.core.distributions.edge_cells import cell_excess, last_below_one, smallest
from jensen.core.distributions.expectations import of_beta
from jensen.core.distributions.fields import check_domains
from jensen.core.distributions.shapes import check_fields, check_pair, check_share, check_value, noise_shape
from jensen.core.distributions.standard_gamma import log_standard_gamma
from jensen.core.distributions.support import moved_inside, outside, zero_density
from jensen.core.numerics import at_least_float32, double, narrow


class Beta(NamedTuple):
    """Independent densities z^(a - 1) (1 - z)^(b - 1) / B(a, b), one per datum: fields (n, d).

    a = concentration1 > 0, b = concentration0 > 0: z and 1 - z are a Dirichlet of two.

    Support       (0, 1)^d; at 0 and 1 log_prob is its limit, which may be -inf or inf; at the type's numbers next to
                  them that of all nearer to the edge, see `edge_cells`
    Noise         uniform, (s, n, d, 2)
    Closed forms  mean, entropy, KL by dimension, cdf and quantile, log mgf and characteristic function, powers
    """

    concentration1: Float[Tensor, "*n d"]
    concentration0: Float[Tensor, "*n d"]

    reparameterised = True
    sample_and_log_prob = sample_then_log_prob
    domains = {"concentration1": Positive(), "concentration0": Positive()}  # noqa: RUF012

    def noise(self, key: Key, s: int, /) -> Float[Tensor, "s n d 2"]:
        """Uniform noise (s, n, d, 2) for `sample`."""
        shape = noise_shape(self.concentration1, s, 2)
        return keys.uniform(key, (*shape, 2), at_least_float32(self.concentration1).dtype)

    def sample(self, u: Float[Tensor, "s n d 2"], /) -> Float[Tensor, "s n d"]:
        """The first of two gammas at u over their sum, inside (0, 1) in the fields' type; differentiable in both.

        The gradient is the gammas' implicit one (Figurnov et al., 2018), a constant to a second derivative.
        u has no gradient. Draws nearer to 1 than half the type's epsilon e are rounded to 1 - e / 2, a share near
        (e / 2)^b, 1 % in float32 at b = 0.28. A Dirichlet of two keeps both z and 1 - z.
        """
        pairs = self._pairs().concentration
        check_value(u, pairs, "noise")
        one, zero = log_standard_gamma(u, pairs).unbind(-1)
        logit, dtype = one - zero, self.concentration1.dtype
        z = torch.sigmoid(logit.detach()).clamp_min(torch.finfo(dtype).tiny).to(dtype)
        z = z.clamp_max(1 - torch.finfo(dtype).eps / 2)
        return z + z * (1 - z) * (logit - logit.detach()).to(dtype)  # d logit z is right at the ends of the range too

    def log_prob(self, z: Float[Tensor, "... d"], /) -> Float[Tensor, "..."]:
        """sum_d (a - 1) log z + (b - 1) log(1 - z) - log B(a, b) in nats per datum: (s, n, d) -> (s, n)."""
        self._check()
        check_value(z, self.concentration1)
        a, b, rows = double(self.concentration1), double(self.concentration0), outside(z, 0.0, 1.0)
        wide = moved_inside(double(z), rows, 0.5)
        terms = log_density(torch.stack([wide, 1 - wide], -1), torch.stack([a, b], -1))
        terms = terms + cell_excess(smallest(z), a) + cell_excess(last_below_one(z), b, 1.5)
        return narrow(zero_density(terms.sum(-1), rows), self.concentration1)

    def bijection(self) -> UnitInterval:
        """Onto (0, 1)^d."""
        return UnitInterval()

    def cdf(self, z: Float[Tensor, "... d"], /) -> Float[Tensor, "... d"]:
        """I_z(a, b) of each component, (s, n, d), 0 for z <= 0 and 1 for z >= 1; differentiable."""
        self._check()
        check_value(z, self.concentration1)
        below = beta_cdf(double(z), double(self.concentration1), double(self.concentration0))
        return narrow(below, self.concentration1)

    def quantile(self, u: Float[Tensor, "... d"], /) -> Float[Tensor, "... d"]:
        """The z with cdf(z) = u in [0, 1]: (s, n, d); no gradient passes. It costs 14 times an incomplete beta."""
        self._check()
        check_value(u, self.concentration1, "u")
        check_share("u", u)
        z = beta_quantile(double(u), double(self.concentration1), double(self.concentration0))
        return narrow(z, self.concentration1)

    def log_mgf(self, t: Float[Tensor, "... d"], /) -> Float[Tensor, "... d"]:
        """log 1F1(a; a + b; t), Kummer's function, by quadrature: (s, n, d)."""
        self._check()
        check_value(t, self.concentration1, "t")
        return narrow(of_beta(real_part(double(t)), *map(double, self)).real, self.concentration1)

    def characteristic(self, t: Float[Tensor, "... d"], /) -> Complex[Tensor, "... d"]:
        """1F1(a; a + b; i t), by quadrature: (s, n, d)."""
        self._check()
        check_value(t, self.concentration1, "t")
        return narrow_complex(torch.exp(of_beta(imaginary(t), *map(double, self))), self.concentration1)

    def mean(self) -> Float[Tensor, "*n d"]:
        """a / (a + b): (n, d)."""
        self._check()
        return self.concentration1 / (self.concentration1 + self.concentration0)

    def entropy(self) -> Float[Tensor, "..."]:
        """The Dirichlet's, summed over d, in nats: (n,)."""
        return self._pairs().entropy().sum(-1)

    def kl(self, p: "Beta", /) -> Float[Tensor, "..."]:
        """KL(self || p) in nats per datum: (n,), the Dirichlet's, summed over d."""
        return self.kl_per_dimension(p).sum(-1)

    def kl_per_dimension(self, p: "Beta", /) -> Float[Tensor, "... d"]:
        """The terms of `kl`: (n, d)."""
        check_pair(self, p)
        return self._pairs().kl(p._pairs())

    def tempered(self, temperature: float | Tensor, /) -> "Beta":
        """Beta((a - 1) / T + 1, (b - 1) / T + 1), where both are above 0."""
        self._check()
        t = like_field(temperature, self.concentration1)
        a, b = (
            powered((double(each) - 1) / t + 1, t, each, name) for name, each in zip(self._fields, self, strict=True)
        )
        return Beta(a, b)

    def _pairs(self) -> Dirichlet:
        """(z, 1 - z) as d Dirichlets of two: field (n, d, 2)."""
        self._check()
        return Dirichlet(torch.stack([self.concentration1, self.concentration0], -1))

    def _check(self) -> None:
        check_fields(concentration1=self.concentration1, concentration0=self.concentration0)
        check_domains(self)

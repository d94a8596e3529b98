"""Student's t."""

import math
from typing import NamedTuple

import torch
from jaxtyping import Complex, Float
from torch import Tensor

from jensen.core import keys
from jensen.core.bijections import Positive
from jensen.core.checks import check_floating
from jensen.core.contracts import Key
from jensen.core.distributions._draw import sample_then_log_prob
from jensen.core.distributions._generating import imaginary, narrow_complex, real_part
from jensen.core.distributions._tempered import like_field, powered
from jensen.core.distributions.edge_cells import cell_excess, largest
from jensen.core.distributions.expectations import of_inverse_gamma
from jensen.core.distributions.fields import check_domains
from jensen.core.distributions.shapes import check_fields, check_share, check_value, noise_shape
from jensen.core.distributions.standard_gamma import log_standard_gamma
from jensen.core.distributions.support import moved_inside, outside, with_ends, zero_density
from jensen.core.distributions.uniform import inside
from jensen.core.numerics import at_least_float32, bounded, digamma_rest, double, log_gamma_rest, narrow
from jensen.core.numerics.incomplete_beta import beta_log_odds, log_beta_tails

SIZES = 1e-150, 1e308  # of |x|, whose log odds are numbers
FAR = 1e150  # whose square is one


class StudentT(NamedTuple):
    """Independent densities proportional to (1 + x^2 / df)^(-(df + 1) / 2), x = (z - loc) / exp(log_scale): (n, d).

    df > 0, the degrees of freedom: 1 gives the Cauchy, and df -> inf the normal. Two of them have no KL in closed
    form: average log(q / p) over samples, as `objectives.kl` does.

    Support       R^d; at the type's largest numbers log_prob is that of all beyond, see `edge_cells`
    Noise         uniform, (s, n, d, 2)
    Closed forms  mean, entropy, cdf and quantile, characteristic function, powers
    """

    df: Float[Tensor, "*n d"]
    loc: Float[Tensor, "*n d"]
    log_scale: Float[Tensor, "*n d"]

    reparameterised = True
    sample_and_log_prob = sample_then_log_prob
    domains = {"df": Positive()}  # noqa: RUF012

    def noise(self, key: Key, s: int, /) -> Float[Tensor, "s n d 2"]:
        """Uniform noise (s, n, d, 2) for `sample`."""
        return keys.uniform(key, (*noise_shape(self.loc, s, 2), 2), at_least_float32(self.loc).dtype)

    def sample(self, u: Float[Tensor, "s n d 2"], /) -> Float[Tensor, "s n d"]:
        """A normal over the root of a gamma of mean 1, at the two parts of u; differentiable in all fields.

        The gradient in df is the gamma's implicit one (Figurnov et al., 2018), a constant to a second derivative.
        u has no gradient.
        """
        self._check()
        check_value(u, torch.stack([self.loc, self.loc], -1), "noise")
        normal, uniform = u.unbind(-1)
        half = 0.5 * double(self.df)
        stretch = torch.exp(0.5 * (torch.log(half) - log_standard_gamma(uniform, half)))
        z = self._at(torch.special.ndtri(inside(normal).double()) * stretch)
        most = torch.finfo(self.loc.dtype).max
        return z.clamp(-most, most).to(self.loc.dtype)

    def log_prob(self, z: Float[Tensor, "... d"], /) -> Float[Tensor, "..."]:
        """sum_d c - (df + 1) / 2 log(1 + x^2 / df) - log_scale in nats per datum: (s, n, d) -> (s, n).

        c = log Gamma((df + 1) / 2) - log Gamma(df / 2) - log(pi df) / 2, without the main terms of both.
        """
        self._check()
        check_value(z, self.loc)
        rows = outside(z, -math.inf)
        x = self._standardised(moved_inside(z, rows, self.loc.detach().to(z.dtype)))
        terms = self._log_densities(x) - double(bounded(self.log_scale)) + cell_excess(largest(z), double(self.df))
        return narrow(zero_density(terms.sum(-1), rows), self.loc)

    def cdf(self, z: Float[Tensor, "... d"], /) -> Float[Tensor, "... d"]:
        """P(z_d' <= z_d) of each component, (s, n, d), with all digits of small ones; differentiable twice.

        By df / (df + x^2), a beta of df / 2 and 1/2; in x by the density.
        """
        self._check()
        check_value(z, self.loc)
        return narrow(with_ends(self._below, z), self.loc)

    def quantile(self, u: Float[Tensor, "... d"], /) -> Float[Tensor, "... d"]:
        """The z with cdf(z) = u in [0, 1], (s, n, d), differentiable in loc and log_scale alone; 100 times a `cdf`."""
        self._check()
        check_value(u, self.loc, "u")
        check_share("u", u)
        df, both = double(self.df), double(u).detach()
        smaller = torch.minimum(both, 1 - both)
        log_odds = beta_log_odds(2 * smaller, 0.5 * df, torch.full_like(df, 0.5))
        size = torch.where(smaller == 0, torch.inf, torch.exp(0.5 * (torch.log(df) - log_odds))).detach()
        return narrow(self._at(torch.where(both < 0.5, -size, size)), self.loc)

    def characteristic(self, t: Float[Tensor, "... d"], /) -> Complex[Tensor, "... d"]:
        """e^(i loc t) x^(df / 2) K_(df / 2)(x) 2^(1 - df / 2) / Gamma(df / 2), x = df^(1 / 2) scale |t|: (s, n, d).

        By quadrature, as the mean of the normals' over the gamma that divides their variance. For df >= 0.1.
        """
        self._check()
        check_value(t, self.loc, "t")
        half = 0.5 * double(self.df)
        damped = 0.5 * half * (double(t) * torch.exp(double(bounded(self.log_scale)))).square()
        log_value = of_inverse_gamma(real_part(-damped), half.expand_as(damped)).real
        return narrow_complex(torch.exp(log_value + imaginary(t) * double(self.loc)), self.loc)

    def mean(self) -> Float[Tensor, "*n d"]:
        """loc where df > 1, else NaN: (n, d)."""
        self._check()
        return torch.where(self.df > 1, self.loc, torch.nan)

    def entropy(self) -> Float[Tensor, "..."]:
        """sum_d (df + 1) / 2 (digamma((df + 1) / 2) - digamma(df / 2)) - c + log_scale, in nats: (n,)."""
        self._check()
        half = 0.5 * double(self.df)
        rise = digamma_rest(half + 0.5) - digamma_rest(half) + torch.log1p(0.5 / half)
        terms = (half + 0.5) * rise - _log_constant(half) + double(bounded(self.log_scale))
        return narrow(terms.sum(-1), self.loc)

    def tempered(self, temperature: float | Tensor, /) -> "StudentT":
        """Student's t of df' = (df + 1) / T - 1 and scale' = scale (df / df')^(1 / 2), for T < df + 1."""
        self._check()
        t, df = like_field(temperature, self.loc), double(self.df)
        after = (df + 1) / t - 1
        log_scale = double(bounded(self.log_scale)) + 0.5 * (torch.log(df) - torch.log(after))
        return StudentT(powered(after, t, self.df, "df"), self.loc, log_scale.to(self.loc.dtype))

    def _below(self, z: Tensor) -> Tensor:
        x, df = self._standardised(z), double(self.df)
        known = x.detach()
        tail, within = _tail(known.abs().clamp(*SIZES), df), known.abs() < FAR
        middle, step = torch.where(within, 0.5 * (x + known), 0.0), torch.where(within, x - known, 0.0)
        rise = self._log_densities(middle).exp() * step  # the midpoint rule
        return torch.where(x < 0, tail, 1 - tail) + rise

    def _log_densities(self, x: Tensor) -> Tensor:
        """Of standardised values, by component."""
        df = double(self.df)
        return _log_constant(0.5 * df) - 0.5 * (df + 1) * torch.log1p(x.square() / df)

    def _at(self, x: Tensor) -> Tensor:
        return double(self.loc) + torch.exp(double(bounded(self.log_scale))) * x

    def _standardised(self, z: Tensor) -> Tensor:
        return (double(z) - double(self.loc)) * torch.exp(-double(bounded(self.log_scale)))

    def _check(self) -> None:
        check_floating("df", self.df)
        check_fields(df=self.df, loc=self.loc)
        check_fields(loc=self.loc, log_scale=self.log_scale)
        check_domains(self)


def _tail(size: Tensor, df: Tensor) -> Tensor:
    """P(x > size)."""
    log_tail, _ = log_beta_tails(torch.log(df) - 2 * torch.log(size), 0.5 * df, torch.full_like(df, 0.5))
    return 0.5 * log_tail.exp()


def _log_constant(half: Tensor) -> Tensor:
    """log Gamma(a + 1/2) - log Gamma(a) - log(2 pi a) / 2, a = half."""
    main = (half + 0.5) * torch.log1p(0.5 / half) - 0.5
    return log_gamma_rest(half + 0.5) - log_gamma_rest(half) + main - 0.5 * math.log(2 * math.pi)

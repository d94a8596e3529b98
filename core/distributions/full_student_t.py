"""Student's t of several components with a full scale matrix."""

import math
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from jensen.core import keys
from jensen.core.bijections import Positive
from jensen.core.checks import check_floating
from jensen.core.contracts import Key
from jensen.core.distributions._draw import sample_then_log_prob
from jensen.core.distributions._tempered import like_field, powered
from jensen.core.distributions.fields import check_domains
from jensen.core.distributions.full_normal import FullNormal
from jensen.core.distributions.shapes import check_value, noise_shape
from jensen.core.distributions.standard_gamma import log_standard_gamma
from jensen.core.distributions.support import moved_inside, outside, zero_density
from jensen.core.distributions.uniform import inside
from jensen.core.numerics import at_least_float32, bounded, digamma_rest, double, log_gamma_rest, narrow


class FullStudentT(NamedTuple):
    """The density proportional to (1 + |x|^2 / df)^(-(df + d) / 2), x = L^-1 (z - loc), one per datum.

    L as that of `FullNormal`: a normal whose precision is multiplied by a gamma of mean 1, one for all components. The
    covariance is L L^T df / (df - 2). Two of them have no KL in closed form: average log(q / p) over samples.

    Support       R^d
    Noise         uniform, (s, n, d + 1)
    Closed forms  mean, entropy, powers
    """

    df: Float[Tensor, " n"]
    loc: Float[Tensor, "n d"]
    log_scale: Float[Tensor, "n d"]
    lower: Float[Tensor, "n d d"]  # what is on and above the diagonal is ignored

    reparameterised = True
    domains = {"df": Positive()}  # noqa: RUF012
    sample_and_log_prob = sample_then_log_prob

    def noise(self, key: Key, s: int, /) -> Float[Tensor, "s n d1"]:
        """Uniform noise (s, n, d + 1) for `sample`."""
        *shape, d = noise_shape(self.loc, s, 2)
        return keys.uniform(key, (*shape, d + 1), at_least_float32(self.loc).dtype)

    def sample(self, u: Float[Tensor, "s n d1"], /) -> Float[Tensor, "s n d"]:
        """A full normal's over the root of the gamma at the last part of u; differentiable in all fields.

        The gradient in df is the gamma's implicit one (Figurnov et al., 2018), a constant to a second derivative.
        u has no gradient.
        """
        self._check()
        check_value(u, torch.cat([self.loc, self.loc[..., :1]], -1), "noise")
        half = 0.5 * double(self.df)
        stretch = torch.exp(0.5 * (torch.log(half) - log_standard_gamma(u[..., -1], half)))
        eps = torch.special.ndtri(inside(u[..., :-1]).double()) * stretch[..., None]
        most = torch.finfo(self.loc.dtype).max
        return self._normal().sample(eps).clamp(-most, most).to(self.loc.dtype)

    def log_prob(self, z: Float[Tensor, "... n d"], /) -> Float[Tensor, "... n"]:
        """c - log det L - (df + d) / 2 log(1 + |x|^2 / df) in nats per datum: (s, n, d) -> (s, n).

        c = log Gamma((df + d) / 2) - log Gamma(df / 2) - d / 2 log(pi df), without the main terms of both.
        """
        self._check()
        check_value(z, self.loc)
        rows = outside(z, -math.inf)
        normal, df = self._normal(), double(self.df)
        square = normal._whitened(double(moved_inside(z, rows, 0.0)) - normal.loc).square().sum(-1)
        log_p = self._log_constant() - 0.5 * (df + self.loc.shape[-1]) * torch.log1p(square / df)
        return narrow(zero_density(log_p - normal.log_scale.sum(-1), rows), self.loc)

    def mean(self) -> Float[Tensor, "n d"]:
        """loc where df > 1, else NaN: (n, d)."""
        self._check()
        return torch.where(self.df[..., None] > 1, self.loc, torch.nan)

    def entropy(self) -> Float[Tensor, " n"]:
        """log det L - c + (df + d) / 2 (digamma((df + d) / 2) - digamma(df / 2)), in nats: (n,)."""
        self._check()
        half, more = 0.5 * double(self.df), 0.5 * self.loc.shape[-1]
        rise = digamma_rest(half + more) - digamma_rest(half) + torch.log1p(more / half)
        own = double(bounded(self.log_scale)).sum(-1) - self._log_constant()
        return narrow(own + (half + more) * rise, self.loc)

    def tempered(self, temperature: float | Tensor, /) -> "FullStudentT":
        """Student's t of df' = (df + d) / T - d and L' = L (df / df')^(1 / 2), for T < 1 + df / d."""
        self._check()
        d, df = self.loc.shape[-1], double(self.df)
        t = like_field(temperature, self.loc)[..., 0]
        after = (df + d) / t - d
        change = 0.5 * (torch.log(df) - torch.log(after))[..., None]
        log_scale = (bounded(self.log_scale) + change).to(self.loc.dtype)
        lower = (self.lower * change[..., None].exp()).to(self.loc.dtype)
        return FullStudentT(powered(after, t, self.df, "df"), self.loc, log_scale, lower)

    def _log_constant(self) -> Tensor:
        half, more = 0.5 * double(self.df), 0.5 * self.loc.shape[-1]
        main = (half + more) * torch.log1p(more / half) - more
        return log_gamma_rest(half + more) - log_gamma_rest(half) + main - more * math.log(2 * math.pi)

    def _normal(self) -> FullNormal:
        """Of the same location and factor, in float64."""
        return FullNormal(double(self.loc), double(bounded(self.log_scale)), double(self.lower))

    def _check(self) -> None:
        check_floating("loc", self.loc, "... n d", "one row per datum")
        d = self.loc.shape[-1]
        check_floating("log_scale", self.log_scale, f"... {d}", "as loc has them")
        check_floating("lower", self.lower, f"... {d} {d}", "as loc has them")
        check_floating("df", self.df, f"... {self.loc.shape[-2]}", "one for each datum")
        check_domains(self)

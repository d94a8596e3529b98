"""The truncated normal, whose ends may lie in the far tail."""

from typing import NamedTuple

import torch
from jaxtyping import Complex, Float
from torch import Tensor

from jensen.core import keys
from jensen.core.bijections import Between
from jensen.core.concrete import is_concrete
from jensen.core.contracts import Key
from jensen.core.distributions._draw import sample_then_log_prob
from jensen.core.distributions._generating import imaginary, narrow_complex
from jensen.core.distributions._tempered import like_field
from jensen.core.distributions.expectations import of_normal_piece
from jensen.core.distributions.normal_piece import NormalPiece
from jensen.core.distributions.shapes import check_fields, check_share, check_value, noise_shape
from jensen.core.distributions.support import zero_density
from jensen.core.distributions.uniform import inside
from jensen.core.numerics import at_least_float32, bounded, double, narrow

MOST = 1e280  # a finite number for infinite ends, whose gradient is 0


class TruncatedNormal(NamedTuple):
    """N(loc, exp(log_scale)^2) given low < z < high, independent components, one per datum: fields (n, d).

    Either end may be infinite. The ends are constants: no gradient passes into them. Two of them have no KL here:
    average log(q / p) over samples, as `objectives.kl` does.

    Support       (low, high)
    Noise         uniform, (s, n, d)
    Closed forms  mean, entropy, cdf and quantile, log mgf and characteristic function, powers
    """

    loc: Float[Tensor, "*n d"]
    log_scale: Float[Tensor, "*n d"]
    low: Float[Tensor, "*n d"]
    high: Float[Tensor, "*n d"]

    reparameterised = True
    sample_and_log_prob = sample_then_log_prob

    def noise(self, key: Key, s: int, /) -> Float[Tensor, "s n d"]:
        """Uniform noise (s, n, d) for `sample`."""
        return keys.uniform(key, noise_shape(self.loc, s, 2), at_least_float32(self.loc).dtype)

    def sample(self, u: Float[Tensor, "s n d"], /) -> Float[Tensor, "s n d"]:
        """The quantile at u, between the ends; differentiable in loc and log_scale, of no second derivative."""
        self._check()
        check_value(u, self.loc, "noise")
        z = self._at(inside(u)).to(self.loc.dtype)
        least, most = torch.nextafter(self.low, self.high), torch.nextafter(self.high, self.low)
        return z + (torch.minimum(torch.maximum(z, least), most) - z).detach()

    def log_prob(self, z: Float[Tensor, "... d"], /) -> Float[Tensor, "..."]:
        """log N(z; loc, scale^2) - sum_d log of the mass between the ends, in nats per datum: (s, n, d) -> (s, n)."""
        self._check()
        check_value(z, self.loc)
        rows = ((z < self.low) | (z > self.high) | z.isinf()).any(-1) & ~z.isnan().any(-1)
        anchor = self._at(torch.full_like(double(self.loc), 0.5)).detach()
        z = torch.where(rows[..., None], anchor, double(z))
        terms = self._piece().log_density(self._standardised(z)) - double(bounded(self.log_scale))
        return narrow(zero_density(terms.sum(-1), rows), self.loc)

    def bijection(self) -> Between:
        """Onto the values between low and high."""
        self._check()
        return Between(self.low, self.high)

    def cdf(self, z: Float[Tensor, "... d"], /) -> Float[Tensor, "... d"]:
        """P(z_d' <= z_d) of each component, (s, n, d), with all digits of small ones; differentiable."""
        self._check()
        check_value(z, self.loc)
        z = torch.minimum(torch.maximum(double(z), double(self.low)), double(self.high))
        piece, x = self._piece(), self._standardised(z.clamp(-MOST, MOST))
        below = torch.where(z >= self.high, 1.0, torch.where(z <= self.low, 0.0, piece.cdf(x)))
        return narrow(below, self.loc)

    def quantile(self, u: Float[Tensor, "... d"], /) -> Float[Tensor, "... d"]:
        """The z with cdf(z) = u in [0, 1]: (s, n, d); low at 0 and high at 1."""
        self._check()
        check_value(u, self.loc, "u")
        check_share("u", u)
        z = self._at(u)
        return narrow(torch.where(u == 1, self.high, torch.where(u == 0, self.low, z)), self.loc)

    def log_mgf(self, t: Float[Tensor, "... d"], /) -> Float[Tensor, "... d"]:
        """loc t + scale^2 t^2 / 2 + log of the normal's mass between the ends less scale^2 t over that between them."""
        self._check()
        check_value(t, self.loc, "t")
        step = torch.exp(double(bounded(self.log_scale))) * double(t)
        change = self._piece(step).log_mass() - self._piece().log_mass()
        return narrow(double(self.loc) * double(t) + 0.5 * step.square() + change, self.loc)

    def characteristic(self, t: Float[Tensor, "... d"], /) -> Complex[Tensor, "... d"]:
        """By quadrature: (s, n, d). For scale |t| up to 50, and |t| times the distance of the ends up to 100."""
        self._check()
        check_value(t, self.loc, "t")
        scale = torch.exp(double(bounded(self.log_scale)))
        log_value = of_normal_piece(imaginary(t) * scale, self._piece())
        return narrow_complex(torch.exp(log_value + imaginary(t) * double(self.loc)), self.loc)

    def mean(self) -> Float[Tensor, "*n d"]:
        """loc + scale (phi(a) - phi(b)) / (Phi(b) - Phi(a)) of the standardised ends a and b: (n, d)."""
        self._check()
        mean = double(self.loc) + torch.exp(double(bounded(self.log_scale))) * self._piece().mean()
        return mean.to(self.loc.dtype)

    def entropy(self) -> Float[Tensor, "..."]:
        """sum_d log_scale + that of the standardised component, in nats: (n,)."""
        self._check()
        return narrow((self._piece().entropy() + double(bounded(self.log_scale))).sum(-1), self.loc)

    def tempered(self, temperature: float | Tensor, /) -> "TruncatedNormal":
        """That of T times the normal's variance, between the same ends."""
        self._check()
        change = 0.5 * torch.log(like_field(temperature, self.loc))
        return self._replace(log_scale=(bounded(self.log_scale) + change).to(self.loc.dtype))

    def _piece(self, step: Tensor | float = 0.0) -> NormalPiece:
        """Of the standard normal, in float64, with both ends lower by a step."""
        low, high = (self._standardised(double(end.detach()).clamp(-MOST, MOST)) for end in (self.low, self.high))
        return NormalPiece.between(low - step, high - step)

    def _at(self, u: Tensor) -> Tensor:
        x = self._piece().quantile(double(u.detach()))
        return double(self.loc) + torch.exp(double(bounded(self.log_scale))) * x

    def _standardised(self, z: Tensor) -> Tensor:
        return (z - double(self.loc)) * torch.exp(-double(bounded(self.log_scale)))

    def _check(self) -> None:
        check_fields(loc=self.loc, log_scale=self.log_scale)
        check_fields(low=self.low, high=self.high)
        check_fields(loc=self.loc, low=self.low)
        if is_concrete(self.low) and is_concrete(self.high) and (wrong := self.high <= self.low).any():
            low, high = self.low[wrong][0].item(), self.high[wrong][0].item()
            raise ValueError(
                f"expected high above low, got {high:.4g} and {low:.4g}: exchange them, or move them apart"
            )

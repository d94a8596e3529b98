"""The log-normal distribution."""

import math
from typing import NamedTuple

import torch
from jaxtyping import Complex, Float
from torch import Tensor

from jensen.core.bijections import Positive
from jensen.core.contracts import Key
from jensen.core.distributions._draw import sample_then_log_prob
from jensen.core.distributions._generating import imaginary, narrow_complex
from jensen.core.distributions._tempered import like_field
from jensen.core.distributions.diag_normal import DiagNormal
from jensen.core.distributions.edge_cells import largest, smallest
from jensen.core.distributions.expectations import of_log_normal
from jensen.core.distributions.shapes import check_fields, check_pair, check_share, check_value
from jensen.core.distributions.support import moved_inside, outside, zero_density
from jensen.core.numerics import HALF_LOG_2PI, at_least_float32, bounded, double


class LogNormal(NamedTuple):
    """z with log z from N(loc, exp(log_scale)^2), independent components, one per datum: fields (n, d).

    Support       z > 0; at 0 log_prob is its limit, -inf; at the ends of the type's range that of all beyond them, see
                  `edge_cells`
    Noise         standard normal, (s, n, d)
    Closed forms  mean, entropy, KL by dimension, cdf and quantile, characteristic function, powers
    """

    loc: Float[Tensor, "*n d"]
    log_scale: Float[Tensor, "*n d"]

    reparameterised = True
    sample_and_log_prob = sample_then_log_prob

    def noise(self, key: Key, s: int, /) -> Float[Tensor, "s n d"]:
        """Standard normal noise (s, n, d) for `sample`."""
        return self._log().noise(key, s)

    def sample(self, eps: Float[Tensor, "s n d"], /) -> Float[Tensor, "s n d"]:
        """z = exp(loc + exp(log_scale) eps), between the type's least normal and largest numbers; differentiable."""
        log_z = self._log().sample(eps)
        range_ = torch.finfo(self.loc.dtype)
        z = log_z.detach().exp().clamp(range_.tiny, range_.max)
        return z * torch.exp(log_z - log_z.detach())  # d log z is right at the ends of the range too

    def log_prob(self, z: Float[Tensor, "... d"], /) -> Float[Tensor, "..."]:
        """log N(log z; loc, scale^2) - sum_d log z in nats per datum: (s, n, d) -> (s, n)."""
        check_value(z, self.loc)
        rows = outside(torch.where(z == 0, -1.0, z), 0.0)
        log_z = torch.log(moved_inside(at_least_float32(z), rows, 1.0))
        log_p = self._log().log_prob(log_z) - log_z.sum(-1) + self._cell_excess(z, log_z).sum(-1)
        return zero_density(log_p, rows)

    def bijection(self) -> Positive:
        """Onto z > 0."""
        return Positive()

    def cdf(self, z: Float[Tensor, "... d"], /) -> Float[Tensor, "... d"]:
        """Phi((log z - loc) / scale) of each component, (s, n, d), 0 for z <= 0; differentiable."""
        check_value(z, self.loc)
        never = z <= 0
        log_z = torch.log(torch.where(never, 1.0, at_least_float32(z)))
        return torch.where(never, 0.0, self._log().cdf(log_z))

    def quantile(self, u: Float[Tensor, "... d"], /) -> Float[Tensor, "... d"]:
        """exp(loc + scale Phi^-1(u)) for u in [0, 1], (s, n, d)."""
        check_value(u, self.loc, "u")
        check_share("u", u)
        normal = torch.special.ndtri(at_least_float32(u))
        return torch.exp(self.loc + torch.exp(bounded(self._log().log_scale)) * normal)

    def characteristic(self, t: Float[Tensor, "... d"], /) -> Complex[Tensor, "... d"]:
        """E exp(i t e^(loc + scale x)), x standard normal, by quadrature: (s, n, d)."""
        check_value(t, self.loc, "t")
        scale = torch.exp(double(bounded(self._log().log_scale)))
        log_value = of_log_normal(imaginary(t) * torch.exp(double(self.loc)), scale)
        return narrow_complex(torch.exp(log_value), self.loc)

    def mean(self) -> Float[Tensor, "*n d"]:
        """exp(loc + scale^2 / 2): (n, d)."""
        variance = torch.exp(2 * bounded(self._log().log_scale))
        return torch.exp(self.loc + 0.5 * variance).to(self.loc.dtype)

    def entropy(self) -> Float[Tensor, "..."]:
        """That of log z + sum_d loc, in nats: (n,)."""
        return self._log().entropy() + at_least_float32(self.loc).sum(-1)

    def kl(self, p: "LogNormal", /) -> Float[Tensor, "..."]:
        """KL(self || p) in nats per datum: (n,), that of the normals."""
        check_pair(self, p)
        return self._log().kl(p._log())

    def kl_per_dimension(self, p: "LogNormal", /) -> Float[Tensor, "... d"]:
        """The terms of `kl`: (n, d)."""
        check_pair(self, p)
        return self._log().kl_per_dimension(p._log())

    def tempered(self, temperature: float | Tensor, /) -> "LogNormal":
        """LogNormal of loc + (T - 1) scale^2 and T times the variance of log z."""
        t, log_scale = like_field(temperature, self.loc), bounded(self._log().log_scale)
        loc, change = self.loc + (t - 1) * torch.exp(2 * log_scale), 0.5 * torch.log(t)
        return LogNormal(loc.to(self.loc.dtype), (log_scale + change).to(self.loc.dtype))

    def _cell_excess(self, z: Tensor, log_z: Tensor) -> Tensor:
        """As `edge_cells.cell_excess`: log of scale (1 - Phi(x)) / phi(x), x the end's distance from loc over scale."""
        at, outwards, log_scale = smallest(z) | largest(z), log_z.detach().sign(), bounded(self._log().log_scale)
        x = torch.where(at, outwards * (log_z - at_least_float32(self.loc)) * torch.exp(-log_scale), 0.0)
        far, near = x.clamp_min(0) / math.sqrt(2), x.clamp_max(0) / math.sqrt(2)
        tail = torch.log(0.5 * torch.special.erfcx(far) * torch.special.erfc(near)) + near.square() + HALF_LOG_2PI
        return torch.where(at, tail + log_scale, 0.0)

    def _log(self) -> DiagNormal:
        """Of log z."""
        check_fields(loc=self.loc, log_scale=self.log_scale)
        return DiagNormal(self.loc, self.log_scale)

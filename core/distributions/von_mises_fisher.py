"""The von Mises-Fisher distribution."""

from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from jensen.core import keys
from jensen.core.bijections import Positive, Stereographic
from jensen.core.bijections.stereographic import in_frame, unit
from jensen.core.checks import check_floating
from jensen.core.concrete import is_concrete
from jensen.core.contracts import Key
from jensen.core.distributions._draw import sample_then_log_prob
from jensen.core.distributions._tempered import like_field
from jensen.core.distributions.fields import check_domains
from jensen.core.distributions.polar_angle import PolarAngle, log_uniform
from jensen.core.distributions.shapes import check_pair, check_value, noise_shape
from jensen.core.distributions.support import beyond, moved_inside, zero_density
from jensen.core.distributions.uniform import inside
from jensen.core.numerics import at_least_float32, double, narrow


class VonMisesFisher(NamedTuple):
    """Unit vectors of density C e^(k m . z) on the sphere's surface, m = loc / |loc|, k = concentration > 0, d >= 2.

    One per datum. loc may have any length but 0, which has no part in the distribution and no gradient; so has that of
    z, which rounding leaves near 1. For d = 2 it is von Mises' distribution of an angle. What Bessel functions give
    elsewhere are integrals over the angle to m here, right from k = 1e-3 to 1e4 and beyond.

    Support       |z| = 1 by the rule of `bijections.Stereographic.contains`
    Noise         uniform, (s, n, d)
    Closed forms  mean, entropy, KL (by quadrature, to rounding), powers
    """

    loc: Float[Tensor, "n d"]
    concentration: Float[Tensor, "n 1"]

    reparameterised = True
    domains = {"concentration": Positive()}  # noqa: RUF012
    sample_and_log_prob = sample_then_log_prob

    def noise(self, key: Key, s: int, /) -> Float[Tensor, "s n d"]:
        """Uniform noise (s, n, d) for `sample`."""
        return keys.uniform(key, noise_shape(self.loc, s, 2), at_least_float32(self.loc).dtype)

    def sample(self, u: Float[Tensor, "s n d"], /) -> Float[Tensor, "s n d"]:
        """cos(t) m + sin(t) v, t the angle's quantile at u_1, v normal to m, as normal numbers at the rest point.

        Differentiable in both fields, of no second derivative: in k implicitly (Figurnov et al., 2018; Davidson et al.,
        2018, draw by rejection instead), in loc along the rotation that moves m in its plane with dm, which no frame of
        v has a part in. u has no gradient.
        """
        angle, m = self._angle(), self._mean_direction()
        check_value(u, self.loc, "noise")
        first, rest = inside(u.detach()).double().tensor_split([1], -1)
        t = angle.quantile(first[..., 0])[..., None]
        across = torch.special.ndtri(rest)
        fixed = m.detach()
        across = in_frame(torch.cat([torch.zeros_like(first), across / _length(across)], -1), fixed)
        z = torch.cos(t) * fixed + torch.sin(t) * across
        change, at = m - fixed, z.detach()
        turn = change * (fixed * at).sum(-1, keepdim=True) - fixed * (change * at).sum(-1, keepdim=True)
        return (z + turn).to(self.loc.dtype)

    def log_prob(self, z: Float[Tensor, "... n d"], /) -> Float[Tensor, "... n"]:
        """-k |z / |z| - m|^2 / 2 - log of its integral over the sphere, in nats per datum: (s, n, d) -> (s, n)."""
        angle, m = self._angle(), self._mean_direction()
        check_value(z, self.loc)
        rows = beyond(z, self.bijection())
        off = (unit(moved_inside(z, rows, self.loc.detach().to(z.dtype))) - m).square().sum(-1)
        log_p = -0.5 * angle.concentration * off - self._log_integral(angle)
        return narrow(zero_density(log_p, rows), self.loc)

    def bijection(self) -> Stereographic:
        """Onto the sphere but for -m, with loc as its centre; log dets are of the surface, as log_prob is."""
        return Stereographic(self.loc)

    def mean(self) -> Float[Tensor, "n d"]:
        """A m, with A = E cos t = I_(d / 2)(k) / I_(d / 2 - 1)(k): (n, d)."""
        return ((1 - self._angle().versine())[..., None] * self._mean_direction()).to(self.loc.dtype)

    def entropy(self) -> Float[Tensor, " n"]:
        """k (1 - A) + log of the integral of e^(k (m . z - 1)) over the sphere, in nats: (n,)."""
        angle = self._angle()
        return narrow(angle.concentration * angle.versine() + self._log_integral(angle), self.loc)

    def kl(self, p: "VonMisesFisher", /) -> Float[Tensor, " n"]:
        """KL(self || p) in nats per datum: (n,). Exact for tiny values, and never negative.

        log E e^((k_p - k) (cos t - A)) + k_p A |m - m_p|^2 / 2.
        """
        check_pair(self, p)
        angle, other = self._angle(), p._angle()
        k, p_k, versine = angle.concentration, other.concentration, angle.versine()
        near = (p_k - k).abs() < 0.25 * k
        close = angle.log_mean_exp(torch.where(near, p_k - k, 0.0))
        far = other.log_normaliser() - angle.log_normaliser() + (p_k - k) * versine
        gap = 0.5 * (self._mean_direction() - p._mean_direction()).square().sum(-1)
        return narrow(torch.where(near, close, far) + p_k * (1 - versine) * gap, self.loc)

    def tempered(self, temperature: float | Tensor, /) -> "VonMisesFisher":
        """That of concentration k / T."""
        self._check()
        k = self.concentration / like_field(temperature, self.concentration)
        return VonMisesFisher(self.loc, k.to(self.concentration.dtype))

    def _log_integral(self, angle: PolarAngle) -> Tensor:
        """log of the integral of e^(k (m . z - 1)) over the sphere."""
        return angle.log_normaliser() + log_uniform(self.loc.shape[-1])

    def _angle(self) -> PolarAngle:
        self._check()
        return PolarAngle.of(double(self.concentration)[..., 0], self.loc.shape[-1])

    def _mean_direction(self) -> Tensor:
        return unit(self.loc)

    def _check(self) -> None:
        check_floating("loc", self.loc, "... d", "add a batch axis with loc[None]")
        check_floating("concentration", self.concentration, "... 1", "one per datum, as concentration[:, None]")
        check_value(self.loc[..., :1], self.concentration, "loc")
        if self.loc.shape[-1] < 2:
            raise ValueError(f"expected loc (n, d) with d >= 2, got {tuple(self.loc.shape)}: a line has no angles")
        if is_concrete(self.loc) and (self.loc == 0).all(-1).any():
            raise ValueError("expected loc other than 0, got a vector of length 0: give it a direction")
        check_domains(self)


def _length(t: Tensor) -> Tensor:
    return torch.linalg.vector_norm(t, dim=-1, keepdim=True)

"""The diagonal normal."""

import math
from typing import NamedTuple

import torch
from jaxtyping import Complex, Float
from torch import Tensor
from torch.nn import functional as F

from jensen.core import keys
from jensen.core.checks import check_floating
from jensen.core.concrete import is_concrete
from jensen.core.contracts import Key, WeakDerivative
from jensen.core.distributions._draw import sample_then_log_prob
from jensen.core.distributions._generating import imaginary, narrow_complex
from jensen.core.distributions._tempered import like_field
from jensen.core.distributions.shapes import check_fields, check_pair, check_share, check_value, noise_shape
from jensen.core.distributions.standard_normal import maxwell, rayleigh
from jensen.core.distributions.support import with_ends
from jensen.core.numerics import HALF_LOG_2PI, at_least_float32, bounded, double, exp_less_tangent, narrow, normal_cdf
from jensen.core.ops import normal_kl, normal_log_prob, normal_sample


class DiagNormal(NamedTuple):
    """N(loc, exp(log_scale)^2) with independent components, one per datum: fields (n, d).

    Scales lie in [e^-20, e^20] (float16: [e^-4, e^4]); log_scale is levelled off beyond, see `numerics.bounded`.

    Support       R^d
    Noise         standard normal, (s, n, d)
    Closed forms  mean, entropy, KL by dimension, Renyi and alpha divergences, transport, weak derivatives, cdf and
                  quantile, log mgf and characteristic function, powers
    """

    loc: Float[Tensor, "*n d"]
    log_scale: Float[Tensor, "*n d"]

    reparameterised = True
    sample_and_log_prob = sample_then_log_prob

    @classmethod
    def from_mean(cls, mean: Float[Tensor, "*n d"]) -> "DiagNormal":
        """The unit-scale normal of this mean."""
        check_floating("mean", mean)
        return cls(mean, torch.zeros_like(mean))

    @classmethod
    def from_scale(cls, loc: Float[Tensor, "*n d"], scale: Float[Tensor, "..."]) -> "DiagNormal":
        """The normal of this mean and standard deviation, expanded to loc's shape. ValueError unless scale > 0."""
        check_floating("loc", loc)
        check_floating("scale", scale)
        if is_concrete(scale) and not (scale > 0).all():
            raise ValueError(f"expected scale above 0, got {scale.min().item():.4g}: pass log_scale for any number")
        return cls(loc, torch.log(scale).expand_as(loc))

    def noise(self, key: Key, s: int, /) -> Float[Tensor, "s n d"]:
        """Standard normal noise (s, n, d) for `sample`."""
        return keys.normal(key, noise_shape(self.loc, s, 2), self.loc.dtype)

    def sample(self, eps: Float[Tensor, "s n d"], /) -> Float[Tensor, "s n d"]:
        """z = loc + exp(log_scale) eps, differentiable in both."""
        self._check()
        check_value(eps, self.loc, "noise")
        return (self.loc + torch.exp(bounded(self.log_scale)) * eps).to(self.loc.dtype)

    def log_prob(self, z: Float[Tensor, "... d"], /) -> Float[Tensor, "..."]:
        """log N(z; loc, scale^2) in nats per datum: z (s, n, d) -> (s, n)."""
        self._check()
        check_value(z, self.loc)
        return normal_log_prob(z, self.loc, self.log_scale)

    def draw(self, key: Key, s: int, /) -> tuple[Float[Tensor, "s n d"], Float[Tensor, "s n"]]:
        """(z, log N(z)) in one operation, differentiable in both fields: those of `noise`, `sample` and `log_prob`."""
        self._check()
        noise_shape(self.loc, s, 2)
        return normal_sample(key, self.loc, self.log_scale, s)

    def cdf(self, z: Float[Tensor, "... d"], /) -> Float[Tensor, "... d"]:
        """Phi((z - loc) / scale) of each component, (s, n, d), with all digits of small ones; differentiable."""
        self._check()
        check_value(z, self.loc)
        loc, rate = at_least_float32(self.loc), torch.exp(-bounded(self.log_scale))
        return with_ends(lambda z: normal_cdf((at_least_float32(z) - loc) * rate), z)

    def quantile(self, u: Float[Tensor, "... d"], /) -> Float[Tensor, "... d"]:
        """loc + scale Phi^-1(u) for u in [0, 1], (s, n, d); -inf at 0 and inf at 1."""
        self._check()
        check_value(u, self.loc, "u")
        check_share("u", u)
        return self.loc + torch.exp(bounded(self.log_scale)) * torch.special.ndtri(at_least_float32(u))

    def marginals(
        self, z: Float[Tensor, "... d"], /
    ) -> tuple[Float[Tensor, "... d"], Float[Tensor, "... d"], Float[Tensor, "... d"]]:
        """log N(z_d), Phi((z_d - loc) / scale), and -(z_d - loc) / scale^2, without a gradient: (s, n, d) each."""
        self._check()
        check_value(z, self.loc)
        log_scale = bounded(self.log_scale)
        rate = torch.exp(-log_scale)
        x = (at_least_float32(z) - at_least_float32(self.loc)) * rate
        return -0.5 * x.square() - (log_scale + HALF_LOG_2PI), normal_cdf(x), -(x * rate).detach()

    def log_mgf(self, t: Float[Tensor, "... d"], /) -> Float[Tensor, "... d"]:
        """loc t + scale^2 t^2 / 2: (s, n, d)."""
        self._check()
        check_value(t, self.loc, "t")
        t, spread = double(t), torch.exp(double(bounded(self.log_scale)))
        return narrow(double(self.loc) * t + 0.5 * (spread * t).square(), self.loc)

    def characteristic(self, t: Float[Tensor, "... d"], /) -> Complex[Tensor, "... d"]:
        """exp(i loc t - scale^2 t^2 / 2): (s, n, d)."""
        self._check()
        check_value(t, self.loc, "t")
        damped = 0.5 * (torch.exp(double(bounded(self.log_scale))) * double(t)).square()
        return narrow_complex(torch.exp(imaginary(t) * double(self.loc) - damped), self.loc)

    def mean(self) -> Float[Tensor, "*n d"]:
        """loc: (n, d)."""
        return self.loc

    def entropy(self) -> Float[Tensor, "..."]:
        """sum_d log_scale + log(2 pi e) / 2, in nats: (n,)."""
        self._check()
        return (bounded(self.log_scale) + HALF_LOG_2PI + 0.5).sum(-1)

    def kl(self, p: "DiagNormal", /) -> Float[Tensor, "..."]:
        """KL(self || p) in nats per datum: (n,)."""
        check_pair(self, p)
        self._check()
        p._check()
        return normal_kl(self.loc, self.log_scale, p.loc, p.log_scale)

    def kl_per_dimension(self, p: "DiagNormal", /) -> Float[Tensor, "... d"]:
        """The terms of `kl`: (n, d)."""
        check_pair(self, p)
        self._check()
        p._check()
        return normal_kl(*(t[..., None] for t in (*self, *p)))

    def chernoff(self, p: "DiagNormal", a: float, /) -> Float[Tensor, "..."]:
        """-log of the integral of self^(1 - a) p^a, over a (1 - a), (n,), in float64; +inf where it diverges.

        sum_d ((log r - a t) / (a (1 - a)) + u^2 / r) / 2 with r = 1 + a (e^t - 1), t and u as in `ops.normal_kl`; it
        diverges where r, a self's variance + (1 - a) p's over p's, is not positive.
        """
        check_pair(self, p)
        self._check()
        p._check()
        log_scale, p_log_scale = double(bounded(self.log_scale)), double(bounded(p.log_scale))
        t = 2 * (log_scale - p_log_scale)
        u = (double(self.loc) - double(p.loc)) * torch.exp(-p_log_scale)
        ratio = 1 + a * torch.expm1(t)
        diverges = ratio <= 0
        t, ratio = torch.where(diverges, 0.0, t), torch.where(diverges, 1.0, ratio)
        near = t.abs() < 0.5
        small, large = torch.where(near, t, 0.0), torch.where(near, 0.0, t)
        close = (exp_less_tangent(small) - exp_less_tangent(torch.log1p(a * torch.expm1(small))) / a) / (1 - a)
        far = (torch.log1p(a * torch.expm1(large)) - a * large) / a / (1 - a)
        terms = 0.5 * (torch.where(near, close, far) + u.square() / ratio)
        return torch.where(diverges, torch.inf, terms).sum(-1)

    def squared_wasserstein2(self, p: "DiagNormal", /) -> Float[Tensor, "..."]:
        """sum_d (loc - p_loc)^2 + (scale - p_scale)^2, in squared units of z: (n,) (Dowson and Landau, 1982)."""
        check_pair(self, p)
        self._check()
        p._check()
        log_scale, p_log_scale = bounded(self.log_scale), bounded(p.log_scale)
        scales = torch.exp(p_log_scale) * torch.expm1(log_scale - p_log_scale)
        return ((at_least_float32(self.loc) - at_least_float32(p.loc)).square() + scales.square()).sum(-1)

    def tempered(self, temperature: float | Tensor, /) -> "DiagNormal":
        """The normal of T times the variance."""
        self._check()
        change = 0.5 * torch.log(like_field(temperature, self.loc))
        return DiagNormal(self.loc, (bounded(self.log_scale) + change).to(self.loc.dtype))

    def weak_derivatives(self, eps: Float[Tensor, "s n d"], /) -> tuple[WeakDerivative, ...]:
        """In loc between loc ± scale w, w Rayleigh; in log_scale between loc + scale m, m double-sided Maxwell, and z.

        w and m are monotone functions of eps, which couples them (Rosca et al., 2019).
        """
        loc, scale = self.loc.detach(), torch.exp(bounded(self.log_scale)).detach()
        step, constant = scale * rayleigh(eps), 1 / (scale * math.sqrt(2 * math.pi))
        return (
            WeakDerivative(self.loc, constant, loc + step, loc - step),
            WeakDerivative(bounded(self.log_scale), torch.ones_like(scale), loc + scale * maxwell(eps), None),
        )

    def committed(self, rate: float, /) -> "DiagNormal":
        """Scales so small that KL(self || N(0, 1)) is at least `rate` nats in every dimension, whatever loc is.

        log_scale -> edge - softplus(edge - log_scale), where edge < 0 solves -edge + (e^(2 edge) - 1) / 2 = rate:
        scales far below e^edge stay, larger ones approach it, and the gradient is positive everywhere (Razavi et al.,
        2019). In float32 at least.
        """
        edge, log_scale = _log_scale_at(rate), bounded(at_least_float32(self.log_scale))  # float16 ends before the edge
        return DiagNormal(at_least_float32(self.loc), edge - F.softplus(edge - log_scale))

    def _check(self) -> None:
        check_fields(loc=self.loc, log_scale=self.log_scale)


def _log_scale_at(rate: float) -> float:
    """The t <= 0 with -t + (e^(2 t) - 1) / 2 = rate, by bisection of [-rate - 1/2, 0]; the rate there is no lower."""
    low, high = -rate - 0.5, 0.0
    for _ in range(60):
        middle = (low + high) / 2
        enough = -middle + math.expm1(2 * middle) / 2 >= rate
        low, high = (middle, high) if enough else (low, middle)
    return low

"""The Poisson distribution."""

from typing import NamedTuple

import torch
from jaxtyping import Complex, Float
from torch import Tensor

from jensen.core.bijections import Positive
from jensen.core.checks import check_count, check_floating
from jensen.core.contracts import Key
from jensen.core.distributions._draw import sample_then_log_prob
from jensen.core.distributions._generating import imaginary, narrow_complex
from jensen.core.distributions.counts import before, count_noise, least_count, not_counts
from jensen.core.distributions.diag_normal import DiagNormal
from jensen.core.distributions.fields import check_domains
from jensen.core.distributions.shapes import check_pair, check_share, check_value, noise_shape
from jensen.core.distributions.support import moved_inside, zero_density
from jensen.core.distributions.uniform import exponential, inside
from jensen.core.numerics import double, exp_less_tangent, log_gamma_rest, log_ratio, narrow

STEPS = 44  # for rates up to 1e12


class Poisson(NamedTuple):
    """Independent counts with P(z) = rate^z e^-rate / z!, rate > 0, one per datum: field (n, d).

    Its entropy has no closed form, so that it is no `ClosedForm`, though its KL is in closed form.

    Support       whole numbers z >= 0
    Noise         uniform in float64, (s, n, d)
    Closed forms  KL by dimension, cdf and quantile, log mgf and characteristic function; relaxed by arrivals
                  (`relaxed`), and in the limit (`normal`)
    """

    rate: Float[Tensor, "*n d"]

    reparameterised = False
    sample_and_log_prob = sample_then_log_prob
    domains = {"rate": Positive()}  # noqa: RUF012

    def noise(self, key: Key, s: int, /) -> Float[Tensor, "s n d"]:
        """Uniform noise (s, n, d) for `sample`."""
        return count_noise(key, noise_shape(self.rate, s, 2))

    def sample(self, u: Float[Tensor, "s n d"], /) -> Float[Tensor, "s n d"]:
        """The quantile at u, exact; no gradient passes. A draw costs 44 incomplete gamma functions."""
        self._check()
        check_value(u, self.rate, "noise")
        return self._least(inside(double(u))).to(self.rate.dtype)

    def log_prob(self, z: Float[Tensor, "... d"], /) -> Float[Tensor, "..."]:
        """sum_d z log rate - rate - log z! in nats per datum: (s, n, d) -> (s, n), without the main terms of log z!."""
        self._check()
        check_value(z, self.rate)
        rate, rows = double(self.rate), not_counts(z)
        z = moved_inside(double(z), rows, 1.0)
        none = z == 0
        some, t = torch.where(none, 1.0, z), log_ratio(torch.where(none, 1.0, rate), torch.where(none, 1.0, z))
        terms = -torch.where(none, rate, some * exp_less_tangent(t) + log_gamma_rest(some) + torch.log(some))
        return narrow(zero_density(terms.sum(-1), rows), self.rate)

    def cdf(self, z: Float[Tensor, "... d"], /) -> Float[Tensor, "... d"]:
        """P(z_d' <= z_d) of each component: (s, n, d); no gradient passes."""
        self._check()
        check_value(z, self.rate)
        never, whole = before(double(z.detach()))
        return narrow(torch.where(never, 0.0, self._below(whole)), self.rate)

    def quantile(self, u: Float[Tensor, "... d"], /) -> Float[Tensor, "... d"]:
        """The least z with cdf(z) >= u in [0, 1], inf at 1: (s, n, d)."""
        self._check()
        check_value(u, self.rate, "u")
        check_share("u", u)
        return narrow(torch.where(u == 1, torch.inf, self._least(double(u))), self.rate)

    def arrival_noise(self, key: Key, s: int, most: int, /) -> Float[Tensor, "s n d m"]:
        """Uniform noise (s, n, d, most) for `arrivals`; counts beyond `most` are cut, rarely so for small rates."""
        most = check_count("most", most)
        return count_noise(key, (*noise_shape(self.rate, s, 2), most))

    def arrivals(self, u: Float[Tensor, "s n d m"], /) -> Float[Tensor, "s n d m"]:
        """The times of the first arrivals of a process of this rate, of which those before 1 count; differentiable."""
        self._check()
        check_value(u, self.rate[..., None].expand(*self.rate.shape, u.shape[-1]), "noise")
        return exponential(u.double()).cumsum(-1) / double(self.rate)[..., None]

    def relaxed(self, t: Float[Tensor, "s n d m"], temperature: float | Tensor, /) -> Float[Tensor, "s n d"]:
        """sum_m sigmoid((1 - t) / temperature) of arrivals t, near the count as the temperature tends to 0.

        Vafaii et al., 2024. Of mean rate times temperature softplus(1 / temperature). It costs `most` exponentials, so
        that it is for small rates, as `normal` is for large ones; the noise is not that of `sample`, for which reason
        the family is no `contracts.Relaxable`.
        """
        return torch.sigmoid((1 - t) / temperature).sum(-1).to(self.rate.dtype)

    def normal(self) -> DiagNormal:
        """The normal of its mean and variance, off by some 1 / sqrt(rate) in distribution: for large rates."""
        self._check()
        return DiagNormal(self.rate, 0.5 * torch.log(self.rate))

    def log_mgf(self, t: Float[Tensor, "... d"], /) -> Float[Tensor, "... d"]:
        """rate (e^t - 1): (s, n, d)."""
        self._check()
        check_value(t, self.rate, "t")
        return narrow(double(self.rate) * torch.expm1(double(t)), self.rate)

    def characteristic(self, t: Float[Tensor, "... d"], /) -> Complex[Tensor, "... d"]:
        """exp(rate (e^(i t) - 1)): (s, n, d)."""
        self._check()
        check_value(t, self.rate, "t")
        return narrow_complex(torch.exp(double(self.rate) * (torch.exp(imaginary(t)) - 1)), self.rate)

    def mean(self) -> Float[Tensor, "*n d"]:
        """rate: (n, d)."""
        self._check()
        return self.rate

    def kl(self, p: "Poisson", /) -> Float[Tensor, "..."]:
        """KL(self || p) in nats per datum: (n,). Exact for tiny values, and never negative."""
        return self.kl_per_dimension(p).sum(-1)

    def kl_per_dimension(self, p: "Poisson", /) -> Float[Tensor, "... d"]:
        """rate (e^t - 1 - t), with t = log(rate_p / rate): (n, d)."""
        check_pair(self, p)
        self._check()
        p._check()
        rate, p_rate = double(self.rate), double(p.rate)
        return narrow(rate * exp_less_tangent(log_ratio(p_rate, rate)), self.rate)

    def _below(self, whole: Tensor) -> Tensor:
        """P(z' <= whole) = Q(whole + 1, rate), in float64."""
        return torch.special.gammaincc(whole + 1, double(self.rate.detach()))

    def _least(self, u: Tensor) -> Tensor:
        """The quantile in float64, by inversion; all but 1e-17 is below nine standard deviations and 30."""
        rate = double(self.rate.detach())
        return least_count(self._below, u, torch.ceil(rate + 9 * rate.sqrt() + 30), STEPS)

    def _check(self) -> None:
        check_floating("rate", self.rate)
        check_domains(self)

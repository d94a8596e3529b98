"""The Dirichlet distribution."""

from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from jensen.core import keys
from jensen.core.bijections import Positive, Simplex
from jensen.core.checks import check_floating
from jensen.core.contracts import Key
from jensen.core.distributions._draw import sample_then_log_prob
from jensen.core.distributions._tempered import like_field, powered
from jensen.core.distributions.edge_cells import cell_excess, smallest
from jensen.core.distributions.fields import check_domains
from jensen.core.distributions.shapes import check_pair, check_value, noise_shape
from jensen.core.distributions.standard_gamma import log_standard_gamma
from jensen.core.distributions.support import moved_inside, off_simplex, zero_density
from jensen.core.numerics import (
    at_least_float32,
    digamma_rest,
    double,
    exp_less_tangent,
    log_gamma_rest,
    log_gamma_rest_divergence,
    log_ratio,
    narrow,
)


class Dirichlet(NamedTuple):
    """The density proportional to prod_k z_k^(a_k - 1), a = concentration > 0, one per datum: field (n, k).

    Support       the simplex, z_k > 0 with sum 1 by the rule of `bijections.Simplex.contains`; where a z_k is 0
                  log_prob is its limit, which may be -inf or inf; at the type's least normal number that of all below
                  it, see `edge_cells`
    Noise         uniform, (s, n, k)
    Closed forms  mean, entropy, KL, powers
    """

    concentration: Float[Tensor, "*n k"]

    reparameterised = True
    sample_and_log_prob = sample_then_log_prob
    domains = {"concentration": Positive()}  # noqa: RUF012

    def noise(self, key: Key, s: int, /) -> Float[Tensor, "s n k"]:
        """Uniform noise (s, n, k) for `sample`."""
        shape = noise_shape(self.concentration, s, 2)
        return keys.uniform(key, shape, at_least_float32(self.concentration).dtype)

    def sample(self, u: Float[Tensor, "s n k"], /) -> Float[Tensor, "s n k"]:
        """Gammas at u over their sum, none below the type's least normal number; differentiable.

        The gradient is the gammas' implicit one (Figurnov et al., 2018), a constant to a second derivative.
        u has no gradient.
        """
        self._check()
        check_value(u, self.concentration, "noise")
        log_z = torch.log_softmax(log_standard_gamma(u, self.concentration), -1)
        dtype = self.concentration.dtype
        z = log_z.detach().exp().clamp_min(torch.finfo(dtype).tiny).to(dtype)
        return z + z * (log_z - log_z.detach()).to(dtype)  # d log z is right at the ends of the range too

    def log_prob(self, z: Float[Tensor, "... k"], /) -> Float[Tensor, "..."]:
        """log Gamma(sum_k a) + sum_k (a - 1) log z - log Gamma(a) in nats per datum: (s, n, k) -> (s, n).

        A density of k - 1 of the coordinates.
        """
        self._check()
        check_value(z, self.concentration)
        a, rows = double(self.concentration), off_simplex(z)
        log_p = log_density(moved_inside(double(z), rows, 1.0), a) + cell_excess(smallest(z), a).sum(-1)
        return narrow(zero_density(log_p, rows), self.concentration)

    def bijection(self) -> Simplex:
        """From k - 1 real numbers onto the simplex; log dets are of the first k - 1 components, as log_prob is."""
        return Simplex()

    def mean(self) -> Float[Tensor, "*n k"]:
        """a / sum_k a: (n, k)."""
        self._check()
        return self.concentration / self.concentration.sum(-1, keepdim=True)

    def entropy(self) -> Float[Tensor, "..."]:
        """log B(a) - sum_k (a - 1) (digamma(a) - digamma(sum_k a)), in nats: (n,); without their main terms."""
        self._check()
        a = double(self.concentration)
        total = a.sum(-1)
        parts = torch.log(a / total[..., None]) + log_gamma_rest(a) - (a - 1) * digamma_rest(a)
        whole = log_gamma_rest(total) - (total - a.shape[-1]) * digamma_rest(total)
        return narrow(parts.sum(-1) - whole, self.concentration)

    def kl(self, p: "Dirichlet", /) -> Float[Tensor, "..."]:
        """KL(self || p) in nats per datum: (n,). Exact for tiny values, and never negative.

        sum_k a_p (e^t - 1 - t) + R(a_p, a) - R(sum_k a_p, sum_k a), with t the log of self's mean over p's and R of
        `log_gamma_rest_divergence`.
        """
        check_pair(self, p)
        self._check()
        p._check()
        a, a_p = double(self.concentration), double(p.concentration)
        gap, total, total_p = (a_p - a).sum(-1), a.sum(-1), a_p.sum(-1)
        t = log_ratio(total_p, total, gap)[..., None] - log_ratio(a_p, a)
        parts = a_p * exp_less_tangent(t) + log_gamma_rest_divergence(a_p, a)
        return narrow(parts.sum(-1) - log_gamma_rest_divergence(total_p, total, gap), self.concentration)

    def tempered(self, temperature: float | Tensor, /) -> "Dirichlet":
        """Dirichlet((a - 1) / T + 1), where all of these are above 0."""
        self._check()
        t = like_field(temperature, self.concentration)
        return Dirichlet(powered((double(self.concentration) - 1) / t + 1, t, self.concentration, "concentration"))

    def _check(self) -> None:
        check_floating("concentration", self.concentration)
        check_domains(self)


def log_density(z: Float[Tensor, "... k"], a: Float[Tensor, "*n k"]) -> Float[Tensor, "..."]:
    """sum_k (a - 1) log z - log B(a) of z on the simplex, in float64.

    With the mean m = a / sum_k a and the off = z / m - 1, whose mean is 0, as sum_k a (log(z / m) - off) - log z less
    what is left of log B, so that large terms do not cancel. What z's sum is off 1 by rounding has no part in it.
    """
    total = a.sum(-1, keepdim=True)
    mean = a / total
    off = (z - mean) / mean
    near = off.abs() < 0.5
    close = a * torch.log1p(torch.where(near, off, 0.0)) - torch.log(torch.where(near, z, 1.0))
    far = torch.xlogy(a - 1, z) - a * torch.log(mean)
    parts = torch.where(near, close, far) - a * off - log_gamma_rest(a)
    return parts.sum(-1) + log_gamma_rest(total[..., 0])

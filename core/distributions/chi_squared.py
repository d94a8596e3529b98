"""The chi-squared distribution."""

from typing import NamedTuple

import torch
from jaxtyping import Complex, Float
from torch import Tensor

from jensen.core.bijections import Positive
from jensen.core.checks import check_floating
from jensen.core.contracts import Key
from jensen.core.distributions._draw import sample_then_log_prob
from jensen.core.distributions.fields import check_domains
from jensen.core.distributions.gamma import Gamma
from jensen.core.distributions.gamma_tails import standard_gamma_cdf, standard_gamma_quantile
from jensen.core.distributions.shapes import check_pair, check_share, check_value
from jensen.core.numerics import double, narrow


class ChiSquared(NamedTuple):
    """Gamma(df / 2, 1/2) of df > 0 degrees of freedom, independent components, one per datum: field (n, d).

    For whole df the sum of df squared standard normals.

    Support       z > 0; at its edge log_prob is as the gamma's
    Noise         uniform, (s, n, d)
    Closed forms  mean, entropy, KL by dimension, cdf and quantile, log mgf and characteristic function, powers
    """

    df: Float[Tensor, "*n d"]

    reparameterised = True
    sample_and_log_prob = sample_then_log_prob
    domains = {"df": Positive()}  # noqa: RUF012

    def noise(self, key: Key, s: int, /) -> Float[Tensor, "s n d"]:
        """Uniform noise (s, n, d) for `sample`."""
        return self._gamma().noise(key, s)

    def sample(self, u: Float[Tensor, "s n d"], /) -> Float[Tensor, "s n d"]:
        """The gamma's at u, differentiable as it is."""
        return self._gamma().sample(u)

    def log_prob(self, z: Float[Tensor, "... d"], /) -> Float[Tensor, "..."]:
        """The gamma's, in nats per datum: (s, n, d) -> (s, n)."""
        return self._gamma().log_prob(z)

    def bijection(self) -> Positive:
        """Onto z > 0."""
        return Positive()

    def cdf(self, z: Float[Tensor, "... d"], /) -> Float[Tensor, "... d"]:
        """P(df / 2, z / 2) of each component, (s, n, d), 0 for z <= 0; differentiable."""
        gamma = self._gamma()
        check_value(z, self.df)
        return narrow(standard_gamma_cdf(0.5 * double(z), gamma.concentration), self.df)

    def quantile(self, u: Float[Tensor, "... d"], /) -> Float[Tensor, "... d"]:
        """The z with cdf(z) = u in [0, 1]: (s, n, d), differentiable in df."""
        gamma = self._gamma()
        check_value(u, self.df, "u")
        check_share("u", u)
        return narrow(2 * standard_gamma_quantile(double(u), gamma.concentration), self.df)

    def log_mgf(self, t: Float[Tensor, "... d"], /) -> Float[Tensor, "... d"]:
        """The gamma's: (s, n, d)."""
        return self._gamma().log_mgf(t)

    def characteristic(self, t: Float[Tensor, "... d"], /) -> Complex[Tensor, "... d"]:
        """The gamma's: (s, n, d)."""
        return self._gamma().characteristic(t)

    def mean(self) -> Float[Tensor, "*n d"]:
        """df: (n, d)."""
        self._gamma()
        return self.df

    def entropy(self) -> Float[Tensor, "..."]:
        """The gamma's, in nats: (n,)."""
        return self._gamma().entropy()

    def kl(self, p: "ChiSquared", /) -> Float[Tensor, "..."]:
        """KL(self || p) in nats per datum: (n,), that of the gammas."""
        check_pair(self, p)
        return self._gamma().kl(p._gamma())

    def kl_per_dimension(self, p: "ChiSquared", /) -> Float[Tensor, "... d"]:
        """The terms of `kl`: (n, d)."""
        check_pair(self, p)
        return self._gamma().kl_per_dimension(p._gamma())

    def tempered(self, temperature: float | Tensor, /) -> Gamma:
        """The gamma's."""
        return self._gamma().tempered(temperature)

    def _gamma(self) -> Gamma:
        check_floating("df", self.df)
        check_domains(self)
        return Gamma(0.5 * self.df, torch.full_like(self.df, 0.5))

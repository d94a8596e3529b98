"""Conjugate pairs of normal data; with the methods of `pairs`, by sums about the prior's mean."""

import math
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from jensen.core.bijections import Positive
from jensen.core.checks import check_floating
from jensen.core.distributions import DiagNormal, FullStudentT, StudentT, Wishart
from jensen.core.distributions.definite import cholesky_factor
from jensen.core.distributions.fields import check_domains
from jensen.core.distributions.shapes import check_fields
from jensen.core.exponential.family import check_some_member
from jensen.core.exponential.pairs import check_observations
from jensen.core.numerics import bounded, log_add_exp


class NormalNormal(NamedTuple):
    """Normals of known scale whose mean is normal, independent components.

    Parameter   the mean, from q
    Data        (s, n, d), of standard deviation exp(log_scale)
    Predictive  normal
    """

    q: DiagNormal
    log_scale: Float[Tensor, "*n d"]

    def posterior(self, x: Float[Tensor, "s *n d"], /) -> "NormalNormal":
        """Precision 1 / tau^2 + s / sigma^2; the mean moves by its share of the mean of x - loc."""
        off = self._off(x)
        ratio = self._ratio()
        share = ratio / (1 + len(x) * ratio)
        log_scale = bounded(self.q.log_scale) - 0.5 * torch.log1p(len(x) * ratio)
        return self._replace(q=DiagNormal(self.q.loc + share * off.sum(0), log_scale))

    def predictive(self) -> DiagNormal:
        """N(loc, tau^2 + sigma^2)."""
        return DiagNormal(self.q.loc, log_add_exp(2 * self.q.log_scale, 2 * self.log_scale) / 2)

    def log_evidence(self, x: Float[Tensor, "s *n d"], /) -> Float[Tensor, "*n"]:
        """log N(x; loc, sigma^2 I + tau^2 1 1^T) over the observations, summed over d."""
        off = self._off(x) * torch.exp(-bounded(self.log_scale))
        ratio = self._ratio()
        known = -0.5 * off.square().sum(0) - len(x) * (bounded(self.log_scale) + 0.5 * math.log(2 * math.pi))
        learned = 0.5 * ratio / (1 + len(x) * ratio) * off.sum(0).square() - 0.5 * torch.log1p(len(x) * ratio)
        return (known + learned).sum(-1)

    def _off(self, x: Tensor) -> Tensor:
        check_observations(x, self.q.loc)
        return x - self.q.loc

    def _ratio(self) -> Tensor:
        """tau^2 / sigma^2."""
        return torch.exp(2 * (bounded(self.q.log_scale) - bounded(self.log_scale)))


class NormalInverseGamma(NamedTuple):
    """Normals whose mean and variance are unknown, independent components.

    Parameter   variance from InverseGamma(concentration, rate); mean given it from N(loc, variance / strength)
    Data        (s, n, d)
    Predictive  Student's t of 2 concentration degrees of freedom
    """

    loc: Float[Tensor, "*n d"]
    strength: Float[Tensor, "*n d"]  # observations that the prior of the mean is worth, above 0
    concentration: Float[Tensor, "*n d"]
    rate: Float[Tensor, "*n d"]

    domains = {"strength": Positive(), "concentration": Positive(), "rate": Positive()}  # noqa: RUF012

    def posterior(self, x: Float[Tensor, "s *n d"], /) -> "NormalInverseGamma":
        """loc is the weighted mean; the rate gains half the squares about x's mean and about the prior's."""
        off = self._off(x)
        s, strength = len(x), self.strength + len(x)
        mean = off.sum(0) / max(s, 1)
        squares = (off - mean).square().sum(0) + self.strength * s / strength * mean.square()
        moved = self.loc + s / strength * mean
        return NormalInverseGamma(moved, strength, self.concentration + 0.5 * s, self.rate + 0.5 * squares)

    def predictive(self) -> StudentT:
        """df = 2 a, scale^2 = b (strength + 1) / (a strength)."""
        self._check()
        variance = self.rate * (1 + 1 / self.strength) / self.concentration
        return StudentT(2 * self.concentration, self.loc, 0.5 * torch.log(variance))

    def log_evidence(self, x: Float[Tensor, "s *n d"], /) -> Float[Tensor, "*n"]:
        """sum_d g(posterior) - g(prior) - s log(2 pi) / 2, g = log Gamma(a) - a log b - log strength / 2."""
        after = self.posterior(x)
        return (after._log_normaliser() - self._log_normaliser() - 0.5 * len(x) * math.log(2 * math.pi)).sum(-1)

    def _log_normaliser(self) -> Tensor:
        a, b = self.concentration, self.rate
        return torch.lgamma(a) - a * torch.log(b) - 0.5 * torch.log(self.strength)

    def _off(self, x: Tensor) -> Tensor:
        self._check()
        check_observations(x, self.loc)
        return x - self.loc

    def _check(self) -> None:
        for name in ("strength", "concentration", "rate"):
            check_fields(loc=self.loc, **{name: getattr(self, name)})
        check_domains(self)


class NormalWishart(NamedTuple):
    """Normals whose mean and full covariance are unknown.

    Parameter   precision P from a Wishart of df degrees of freedom and mean df scatter^-1; mean given it from
                N(loc, (strength P)^-1)
    Data        (s, n, d)
    Predictive  Student's t with a full scale matrix, of df - d + 1 degrees of freedom
    """

    loc: Float[Tensor, "n d"]
    strength: Float[Tensor, " n"]  # observations that the prior of the mean is worth, above 0
    df: Float[Tensor, " n"]  # above d - 1
    scatter: Float[Tensor, "n d d"]  # the squares that the prior of the precision is worth

    domains = {"strength": Positive()}  # noqa: RUF012

    def posterior(self, x: Float[Tensor, "s n d"], /) -> "NormalWishart":
        """loc is the weighted mean; the scatter gains the squares about x's mean and about the prior's."""
        off = self._off(x)
        s, strength = len(x), self.strength + len(x)
        mean = off.sum(0) / max(s, 1)
        within = torch.einsum("snd,sne->nde", off - mean, off - mean)
        between = (self.strength * s / strength)[..., None, None] * mean[..., :, None] * mean[..., None, :]
        moved = self.loc + (s / strength)[..., None] * mean
        return NormalWishart(moved, strength, self.df + s, self.scatter + within + between)

    def precision(self) -> Wishart:
        """The distribution of P."""
        self._check()
        return Wishart.from_scale(self.df, torch.cholesky_inverse(self._factor()))

    def predictive(self) -> FullStudentT:
        """df - d + 1 degrees of freedom, scale matrix scatter (1 + 1 / strength) / (df - d + 1)."""
        self._check()
        df = self.df - self.loc.shape[-1] + 1
        factor = self._factor() * ((1 + 1 / self.strength) / df).sqrt()[..., None, None]
        log_scale = torch.log(factor.diagonal(dim1=-2, dim2=-1))
        return FullStudentT(df, self.loc, log_scale, torch.tril(factor, -1))

    def log_evidence(self, x: Float[Tensor, "s n d"], /) -> Float[Tensor, " n"]:
        """g(posterior) - g(prior) - s d log(pi) / 2.

        g = sum_j log Gamma((df - j) / 2) - df log det(scatter) / 2 - d log strength / 2, j = 0, ..., d - 1.
        """
        after = self.posterior(x)
        constant = 0.5 * len(x) * self.loc.shape[-1] * math.log(math.pi)
        return after._log_normaliser() - self._log_normaliser() - constant

    def _log_normaliser(self) -> Tensor:
        d = self.loc.shape[-1]
        half_log_det = torch.log(self._factor().diagonal(dim1=-2, dim2=-1)).sum(-1)
        gammas = torch.lgamma(0.5 * (self.df[..., None] - torch.arange(d, dtype=self.df.dtype, device=self.df.device)))
        return gammas.sum(-1) - self.df * half_log_det - 0.5 * d * torch.log(self.strength)

    def _factor(self) -> Tensor:
        return cholesky_factor("scatter", self.scatter)

    def _off(self, x: Tensor) -> Tensor:
        self._check()
        check_observations(x, self.loc)
        return x - self.loc

    def _check(self) -> None:
        check_floating("loc", self.loc, "n d", "one row per datum")
        n, d = self.loc.shape
        check_floating("scatter", self.scatter, f"{n} {d} {d}", "one for each datum")
        check_floating("df", self.df, f"{n}", "one for each datum")
        check_floating("strength", self.strength, f"{n}", "one for each datum")
        check_domains(self)
        check_some_member("df", self.df > d - 1, f"values above {d - 1}, one less than components")

"""The Wishart distribution."""

import math
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from jensen.core import keys
from jensen.core.bijections import Positive, PositiveDefinite
from jensen.core.checks import check_floating
from jensen.core.concrete import is_concrete
from jensen.core.contracts import Key
from jensen.core.distributions._draw import sample_then_log_prob
from jensen.core.distributions.definite import cholesky_factor
from jensen.core.distributions.fields import check_domains
from jensen.core.distributions.shapes import check_pair, check_value, noise_shape
from jensen.core.distributions.standard_gamma import log_standard_gamma
from jensen.core.distributions.support import beyond, moved_inside, zero_density
from jensen.core.distributions.uniform import inside
from jensen.core.numerics import (
    at_least_float32,
    bounded,
    digamma_rest,
    double,
    exp_less_tangent,
    log_gamma_rest,
    log_gamma_rest_divergence,
    log_ratio,
    narrow,
)


class Wishart(NamedTuple):
    """Matrices of density proportional to det(z)^((df - d - 1) / 2) e^(-tr(V^-1 z) / 2), one per datum, of mean df V.

    df = d - 1 + excess, excess > 0; V = L L^T with the factor L of `FullNormal`: its diagonal exp(log_scale), below it
    that of `lower`. For whole df the sum of x x^T of df normals x of covariance V.

    Support       symmetric positive definite matrices, (s, n, d, d), by the rule of `bijections.PositiveDefinite`
    Noise         uniform, (s, n, d, d)
    Closed forms  mean, entropy, KL
    """

    excess: Float[Tensor, " n"]
    log_scale: Float[Tensor, "n d"]
    lower: Float[Tensor, "n d d"]  # what is on and above the diagonal is ignored

    reparameterised = True
    domains = {"excess": Positive()}  # noqa: RUF012
    sample_and_log_prob = sample_then_log_prob

    @classmethod
    def from_scale(cls, df: Float[Tensor, " n"], scale: Float[Tensor, "n d d"]) -> "Wishart":
        """The one of these degrees of freedom, above d - 1, and scale matrix V. ValueError for others."""
        check_floating("scale", scale, "n d d", "a scale matrix for each datum")
        n, _, d = scale.shape
        check_floating("scale", scale, f"{n} {d} {d}", "a square matrix for each datum")
        check_floating("df", df, str(n), "one for each datum")
        if is_concrete(df) and (df <= d - 1).any():
            raise ValueError(f"expected df above {d - 1} of matrices ({d}, {d}), got {df.min().item():.4g}: raise it")
        factor = cholesky_factor("scale", at_least_float32(scale)).to(scale.dtype)
        return cls(df - (d - 1), torch.log(factor.diagonal(dim1=-2, dim2=-1)), torch.tril(factor, -1))

    def noise(self, key: Key, s: int, /) -> Float[Tensor, "s n d d"]:
        """Uniform noise (s, n, d, d) for `sample`, of which the part above the diagonal is not read."""
        return keys.uniform(key, noise_shape(self.lower, s, 3), at_least_float32(self.lower).dtype)

    def sample(self, u: Float[Tensor, "s n d d"], /) -> Float[Tensor, "s n d d"]:
        """(L A)(L A)^T, A lower triangular, A_ii^2 chi-squared of df - i and the rest normal (Bartlett, 1933).

        A_ii is at least sqrt(32 d epsilon) of A's size, so that draws are positive definite in the fields' type: some
        5 % of them are moved there in float32 at an excess of 1/2, and next to none from 2 on.

        Differentiable in all fields, in the excess by the gammas' implicit gradient (Figurnov et al., 2018), a constant
        to a second derivative. u has no gradient.
        """
        self._check()
        check_value(u, self.lower, "noise")
        squares = log_standard_gamma(u.diagonal(dim1=-2, dim2=-1), self._halves())
        normals = torch.special.ndtri(inside(u.detach()).double())
        below, diagonal = torch.tril(normals, -1), torch.exp(0.5 * (squares + math.log(2)))
        size = (below.square().sum((-2, -1)) + diagonal.detach().square().sum(-1)).sqrt()
        least = (32 * u.shape[-1] * torch.finfo(self.lower.dtype).eps) ** 0.5 * size
        root = self._factor() @ (below + torch.diag_embed(torch.maximum(diagonal, least[..., None])))
        return (root @ root.mT).to(self.lower.dtype)

    def log_prob(self, z: Float[Tensor, "... n d d"], /) -> Float[Tensor, "... n"]:
        """(df - d - 1) / 2 log det z - tr(V^-1 z) / 2 - log normaliser in nats per datum: (s, n, d, d) -> (s, n).

        A density of the entries on and below the diagonal.
        """
        self._check()
        check_value(z, self.lower)
        rows = beyond(z, self.bijection())
        eye = torch.eye(z.shape[-1], dtype=torch.float64, device=z.device)
        inner = moved_inside(double(z), rows, eye)
        root = torch.linalg.cholesky_ex((inner + inner.mT) / 2).L
        white = torch.linalg.solve_triangular(self._factor(), root, upper=False)
        halves, d = self._halves(), z.shape[-1]
        log_diagonal = torch.log(white.diagonal(dim1=-2, dim2=-1))
        main = (double(self.excess) - 2)[..., None] * log_diagonal  # (df - d - 1) / 2 times log det
        gammas = halves * math.log(2) + log_gamma_rest(halves) + halves * (torch.log(halves) - 1)
        terms = main - 0.5 * white.square().sum(-1) - gammas - (d + 1) * double(bounded(self.log_scale))
        constant = d * (d - 1) / 4 * (math.log(math.pi) + math.log(2))
        return narrow(zero_density(terms.sum(-1) - constant, rows), self.lower)

    def bijection(self) -> PositiveDefinite:
        """Onto symmetric positive definite matrices."""
        return PositiveDefinite()

    def mean(self) -> Float[Tensor, "n d d"]:
        """df V: (n, d, d)."""
        self._check()
        factor = self._factor()
        df = double(self.excess) + self.lower.shape[-1] - 1
        return (df[..., None, None] * factor @ factor.mT).to(self.lower.dtype)

    def entropy(self) -> Float[Tensor, " n"]:
        """That of the factor's independent parts, and the log det of what is made of them, in nats: (n,)."""
        self._check()
        halves, d = self._halves(), self.lower.shape[-1]
        log_square = digamma_rest(halves) + torch.log(halves) + math.log(2)  # E log A_ii^2
        gammas = log_gamma_rest(halves) + halves * torch.log(halves) + halves * math.log(2)
        terms = gammas - 0.5 * (double(self.excess)[..., None] - 2) * log_square
        scale = (d + 1) * double(bounded(self.log_scale)).sum(-1)
        constant = d * (d - 1) / 4 * (math.log(math.pi) + math.log(2) + 1)
        return narrow(terms.sum(-1) + scale + constant, self.lower)

    def kl(self, p: "Wishart", /) -> Float[Tensor, " n"]:
        """KL(self || p) in nats per datum: (n,). Exact for tiny values, and never negative.

        With A = L_p^-1 L, h_i = (df - i) / 2 and R of `log_gamma_rest_divergence`: the sum over i = 0, ..., d - 1 of
        h_p E(log h - log h_p + 2 log A_ii) + i / 2 E(2 log A_ii) + R(h_p, h), E(t) = e^t - 1 - t, and df / 2 times the
        squares of A below the diagonal.
        """
        check_pair(self, p)
        self._check()
        p._check()
        halves, p_halves = self._halves(), p._halves()
        change = 2 * (double(bounded(self.log_scale)) - double(bounded(p.log_scale)))
        t = log_ratio(halves, p_halves, 0.5 * (double(self.excess) - double(p.excess))[..., None]) + change
        places = torch.arange(change.shape[-1], dtype=torch.float64, device=change.device)
        own = p_halves * exp_less_tangent(t) + 0.5 * places * exp_less_tangent(change)
        own = own + log_gamma_rest_divergence(
            p_halves, halves, 0.5 * (double(p.excess) - double(self.excess))[..., None]
        )
        factor, p_factor = self._factor(), p._factor()
        below = torch.tril(torch.linalg.solve_triangular(p_factor, factor - p_factor, upper=False), -1)
        return narrow(own.sum(-1) + halves[..., 0] * below.square().sum((-2, -1)), self.lower)

    def _halves(self) -> Tensor:
        """(df - i) / 2 for i = 0, ..., d - 1, in float64: (n, d)."""
        d = self.lower.shape[-1]
        return 0.5 * (double(self.excess)[..., None] + torch.arange(d - 1, -1, -1, device=self.lower.device))

    def _factor(self) -> Tensor:
        """L in float64: (n, d, d)."""
        return torch.tril(double(self.lower), -1) + torch.diag_embed(torch.exp(double(bounded(self.log_scale))))

    def _check(self) -> None:
        check_floating("log_scale", self.log_scale, "... n d", "one row per datum")
        n, d = self.log_scale.shape[-2:]
        check_floating("lower", self.lower, f"... {d} {d}", "as log_scale has components")
        check_floating("excess", self.excess, f"... {n}", "one for each datum")
        check_domains(self)

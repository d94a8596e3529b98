"""The normal whose covariance is a diagonal and a matrix of low rank."""

import math
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from jensen.core import keys
from jensen.core.checks import check_floating
from jensen.core.contracts import Key
from jensen.core.distributions._draw import sample_then_log_prob
from jensen.core.distributions._tempered import like_field
from jensen.core.distributions.diag_normal import DiagNormal
from jensen.core.distributions.full_normal import FullNormal
from jensen.core.distributions.shapes import check_fields, check_pair, check_value, noise_shape
from jensen.core.distributions.support import moved_inside, outside, zero_density
from jensen.core.numerics import HALF_LOG_2PI, at_least_float32, bounded, double, narrow


class LowRankNormal(NamedTuple):
    """N(loc, D + F F^T), one per datum, with D the diagonal of exp(log_scale)^2 and F = factor of r columns.

    Densities cost d r^2 and r^3, by the r x r matrix C = I + F^T D^-1 F (Woodbury); KLs cost d^3.

    Support       R^d
    Noise         standard normal, (s, n, d + r)
    Closed forms  mean, entropy, KL, powers
    """

    loc: Float[Tensor, "n d"]
    log_scale: Float[Tensor, "n d"]
    factor: Float[Tensor, "n d r"]

    reparameterised = True
    sample_and_log_prob = sample_then_log_prob

    @classmethod
    def from_diagonal(cls, q: DiagNormal, r: int) -> "LowRankNormal":
        """The same distribution with r columns of zeros, whose gradient is 0: move them off before training."""
        return cls(q.loc, q.log_scale, q.loc.new_zeros(*q.loc.shape, r))

    def noise(self, key: Key, s: int, /) -> Float[Tensor, "s n e"]:
        """Standard normal noise (s, n, d + r) for `sample`."""
        *shape, d = noise_shape(self.loc, s, 2)
        return keys.normal(key, (*shape, d + self.factor.shape[-1]), self.loc.dtype)

    def sample(self, eps: Float[Tensor, "s n e"], /) -> Float[Tensor, "s n d"]:
        """z = loc + exp(log_scale) eps_d + F eps_r, differentiable in all fields."""
        self._check()
        check_value(eps, torch.cat([self.loc, self.factor[..., 0, :]], -1), "noise")
        own, shared = at_least_float32(eps).split([self.loc.shape[-1], self.factor.shape[-1]], -1)
        moved = torch.einsum("nij,...nj->...ni", at_least_float32(self.factor), shared)
        return (self.loc + torch.exp(bounded(self.log_scale)) * own + moved).to(self.loc.dtype)

    def log_prob(self, z: Float[Tensor, "... n d"], /) -> Float[Tensor, "... n"]:
        """log N(z; loc, D + F F^T) in nats per datum: (s, n, d) -> (s, n)."""
        self._check()
        check_value(z, self.loc)
        rows = outside(z, -math.inf)
        scale = torch.exp(-double(bounded(self.log_scale)))
        x = (moved_inside(double(z), rows, 0.0) - double(self.loc)) * scale
        factor, root = self._capacitance()
        common = torch.einsum("nij,...ni->...nj", factor, x)[..., None]
        shared = torch.cholesky_solve(common, root)[..., 0]
        own = x - torch.einsum("nij,...nj->...ni", factor, shared)
        squares = own.square().sum(-1) + shared.square().sum(-1)  # the least there is, so that no digits cancel
        return narrow(zero_density(-0.5 * squares - self._log_volume(root), rows), self.loc)

    def mean(self) -> Float[Tensor, "n d"]:
        """loc: (n, d)."""
        return self.loc

    def entropy(self) -> Float[Tensor, " n"]:
        """(log det D + log det C + d log(2 pi e)) / 2, in nats: (n,)."""
        self._check()
        _, root = self._capacitance()
        return narrow(self._log_volume(root) + 0.5 * self.loc.shape[-1], self.loc)

    def kl(self, p: "LowRankNormal", /) -> Float[Tensor, " n"]:
        """KL(self || p) in nats per datum: (n,), that of the full normals. Never negative."""
        check_pair(self, p)
        return narrow(self.full().kl(p.full()), self.loc)

    def tempered(self, temperature: float | Tensor, /) -> "LowRankNormal":
        """The normal of T times the covariance."""
        self._check()
        t = like_field(temperature, self.loc)
        log_scale = (bounded(self.log_scale) + 0.5 * torch.log(t)).to(self.loc.dtype)
        return LowRankNormal(self.loc, log_scale, (self.factor * t.sqrt()[..., None]).to(self.loc.dtype))

    def full(self) -> FullNormal:
        """The same distribution with a full covariance, in float64."""
        self._check()
        variances = torch.exp(2 * double(bounded(self.log_scale)))
        factor = double(self.factor)
        root = torch.linalg.cholesky(torch.diag_embed(variances) + factor @ factor.mT)
        return FullNormal(double(self.loc), torch.log(root.diagonal(dim1=-2, dim2=-1)), torch.tril(root, -1))

    def _capacitance(self) -> tuple[Tensor, Tensor]:
        """D^-1/2 F, (n, d, r), and the Cholesky factor of C, (n, r, r)."""
        factor = double(self.factor) * torch.exp(-double(bounded(self.log_scale)))[..., None]
        identity = torch.eye(factor.shape[-1], dtype=factor.dtype, device=factor.device)
        return factor, torch.linalg.cholesky(identity + factor.mT @ factor)

    def _log_volume(self, root: Tensor) -> Tensor:
        """Half the log determinant of the covariance and d log(2 pi) / 2."""
        own = (double(bounded(self.log_scale)) + HALF_LOG_2PI).sum(-1)
        return own + torch.log(root.diagonal(dim1=-2, dim2=-1)).sum(-1)

    def _check(self) -> None:
        check_fields(loc=self.loc, log_scale=self.log_scale)
        n, d = self.loc.shape[-2:]
        check_floating("factor", self.factor, f"{n} {d} r", "one row per datum and component")

"""The normal with a full covariance."""

import math
from collections.abc import Sequence
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from jensen.core import keys
from jensen.core.checks import check_count, check_floating, described
from jensen.core.concrete import is_concrete
from jensen.core.contracts import Key
from jensen.core.distributions._draw import sample_then_log_prob
from jensen.core.distributions._tempered import like_field
from jensen.core.distributions.definite import check_factor, cholesky_factor
from jensen.core.distributions.diag_normal import DiagNormal
from jensen.core.distributions.shapes import check_pair, check_value, noise_shape
from jensen.core.distributions.support import moved_inside, outside, zero_density
from jensen.core.numerics import HALF_LOG_2PI, at_least_float32, bounded
from jensen.core.ops import normal_kl

ASYMMETRY = 1e-3  # of the largest covariance: more is no rounding


class FullNormal(NamedTuple):
    """N(loc, L L^T), one per datum, with L lower triangular: its diagonal exp(log_scale), below it that of `lower`.

    Support       R^d
    Noise         standard normal, (s, n, d)
    Closed forms  mean, entropy, KL, powers
    """

    loc: Float[Tensor, "n d"]
    log_scale: Float[Tensor, "n d"]
    lower: Float[Tensor, "n d d"]  # what is on and above the diagonal is ignored

    reparameterised = True
    sample_and_log_prob = sample_then_log_prob

    @classmethod
    def from_diagonal(cls, q: DiagNormal) -> "FullNormal":
        """The same distribution with a full covariance."""
        return cls(q.loc, q.log_scale, q.loc.new_zeros(*q.loc.shape, q.loc.shape[-1]))

    @classmethod
    def from_covariance(cls, loc: Float[Tensor, "n d"], covariance: Float[Tensor, "*n d d"]) -> "FullNormal":
        """The normal of this mean and covariance, (d, d) for all data or (n, d, d), as from Laplace's approximation.

        ValueError, with the jitter to add, for a covariance that is not positive definite, or singular to rounding, and
        for one that is not symmetric.
        """
        check_floating("loc", loc, "n d", "one row per datum")
        n, d = loc.shape
        check_floating("covariance", covariance, f"... {d} {d}", "one for all data, or one for each")
        if covariance.shape[:-2] not in ((), (n,)):
            raise ValueError(
                f"expected covariance ({d}, {d}) or ({n}, {d}, {d}) of {n} data, got {tuple(covariance.shape)}: "
                "pass one for all data, or one for each"
            )
        gap = (covariance - covariance.mT).detach().abs()
        if is_concrete(gap) and (gap > ASYMMETRY * covariance.detach().abs().amax()).any():
            raise ValueError(
                f"expected covariance symmetric, got values {gap.amax().item():.3g} from those across the diagonal: "
                "pass (covariance + covariance.mT) / 2"
            )
        factor = cholesky_factor("covariance", at_least_float32(covariance).expand(*loc.shape, d))
        return _normal(loc, factor)

    @classmethod
    def from_draws(cls, z: Float[Tensor, "s n d"]) -> "FullNormal":
        """The normal of the draws' mean and unbiased covariance, for each datum. ValueError unless s > d."""
        check_floating("z", z, "s n d", "pass draws of q.sample")
        s, _, d = z.shape
        if s <= d:
            raise ValueError(f"expected more draws than components, got {s} of {d}: from_diagonal needs fewer")
        mean = at_least_float32(z).mean(0)
        off = at_least_float32(z) - mean
        return cls.from_covariance(mean.to(z.dtype), torch.einsum("sni,snj->nij", off, off) / (s - 1))

    def noise(self, key: Key, s: int, /) -> Float[Tensor, "s n d"]:
        """Standard normal noise (s, n, d) for `sample`."""
        return keys.normal(key, noise_shape(self.loc, s, 2), self.loc.dtype)

    def sample(self, eps: Float[Tensor, "s n d"], /) -> Float[Tensor, "s n d"]:
        """z = loc + L eps, differentiable in all fields."""
        check_value(eps, self.loc, "noise")
        moved = torch.einsum("nij,...nj->...ni", self._factor(), at_least_float32(eps))
        return (self.loc + moved).to(self.loc.dtype)

    def log_prob(self, z: Float[Tensor, "... n d"], /) -> Float[Tensor, "... n"]:
        """log N(z; loc, L L^T) in nats per datum: (s, n, d) -> (s, n)."""
        check_value(z, self.loc)
        rows = outside(z, -math.inf)
        eps = self._whitened(at_least_float32(moved_inside(z, rows, 0.0)) - at_least_float32(self.loc))
        return zero_density(-(0.5 * eps.square() + bounded(self.log_scale) + HALF_LOG_2PI).sum(-1), rows)

    def marginal(self, index: int | Sequence[int], /) -> "FullNormal":
        """The normal of the components `index`, in this order: the covariance's rows and columns, (n, k, k)."""
        kept = self._components(index)
        return _normal(self.loc[..., kept], _triangular(self._factor()[..., kept, :]))

    def condition(self, index: int | Sequence[int], value: Float[Tensor, "n k"], /) -> "FullNormal":
        """The normal of the other components, in their order, where those of `index` are `value`.

        With B the components of index and A the others, loc_A + L_AB L_BB^-1 (value - loc_B) and the factor L_AA, of
        the factor of the covariance in the order B, A: L_AA L_AA^T is its Schur complement, without a difference.
        ValueError, with the jitter to add, where the covariance of B is singular to rounding.
        """
        given = self._components(index)
        others = [i for i in range(self.loc.shape[-1]) if i not in given]
        if not others:
            raise ValueError(f"expected index of some components, got all {len(given)}: leave one or more to describe")
        check_floating("value", value, f"n {len(given)}", "one for each component of index, of each datum")
        check_value(value, self.loc[..., given], "value")
        factor, k = _triangular(self._factor()[..., given + others, :]), len(given)
        first = factor[..., :k, :k]
        check_factor("the covariance of index", first @ first.mT, first)
        gap = (at_least_float32(value) - at_least_float32(self.loc[..., given]))[..., None]
        moved = factor[..., k:, :k] @ torch.linalg.solve_triangular(first, gap, upper=False)
        return _normal((self.loc[..., others] + moved[..., 0]).to(self.loc.dtype), factor[..., k:, k:])

    def condition_number(self) -> Float[Tensor, " n"]:
        """The covariance's largest eigenvalue over its least, (n,), by which solving with it multiplies rounding."""
        values = torch.linalg.svdvals(self._factor())
        return (values[..., 0] / values[..., -1]).square()

    def mean(self) -> Float[Tensor, "n d"]:
        """loc: (n, d)."""
        return self.loc

    def entropy(self) -> Float[Tensor, " n"]:
        """log det L + d log(2 pi e) / 2, in nats: (n,)."""
        return (bounded(self.log_scale) + HALF_LOG_2PI + 0.5).sum(-1)

    def kl(self, p: "FullNormal", /) -> Float[Tensor, " n"]:
        """KL(self || p) in nats per datum, with A = L_p^-1 L: (|A|^2 - d + |L_p^-1 (loc - loc_p)|^2) / 2 - log det A.

        The diagonal's part is `normal_kl` of the scales, and the rest of A is L_p^-1 (L - L_p), so that small KLs are
        accurate.
        """
        check_pair(self, p)
        zero, scale = torch.zeros_like(self.loc), bounded(p.log_scale)
        change = torch.tril(at_least_float32(self.lower) - at_least_float32(p.lower), -1)
        change = change + torch.diag_embed(torch.exp(scale) * torch.expm1(bounded(self.log_scale) - scale))
        below = torch.tril(torch.linalg.solve_triangular(p._factor(), change, upper=False), -1)
        squares = below.square().sum((-2, -1)) + p._whitened(
            at_least_float32(self.loc) - at_least_float32(p.loc)
        ).square().sum(-1)
        return normal_kl(zero, self.log_scale, zero, p.log_scale) + 0.5 * squares

    def tempered(self, temperature: float | Tensor, /) -> "FullNormal":
        """The normal of T times the covariance."""
        t = like_field(temperature, self.loc)
        log_scale = (bounded(self.log_scale) + 0.5 * torch.log(t)).to(self.loc.dtype)
        return FullNormal(self.loc, log_scale, (self.lower * t.sqrt()[..., None]).to(self.loc.dtype))

    def _components(self, index: int | Sequence[int]) -> list[int]:
        """The components as a list without repetition, counted from 0."""
        d, chosen = self.loc.shape[-1], [index] if isinstance(index, int) else index
        if not isinstance(chosen, Sequence) or isinstance(chosen, str) or not chosen:
            raise TypeError(f"expected index, a component or a list of them, got {described(index)}: pass [0, 2]")
        chosen = [check_count(f"index[{i}]", each, 0) for i, each in enumerate(chosen)]
        if max(chosen) >= d or len(set(chosen)) < len(chosen):
            raise ValueError(f"expected index of different components below {d}, got {chosen}: name each once")
        return chosen

    def _factor(self) -> Tensor:
        """L: (n, d, d)."""
        return torch.tril(at_least_float32(self.lower), -1) + torch.diag_embed(torch.exp(bounded(self.log_scale)))

    def _whitened(self, z: Tensor) -> Tensor:
        """L^-1 z."""
        return torch.linalg.solve_triangular(self._factor(), z[..., None], upper=False)[..., 0]


def _normal(loc: Tensor, factor: Tensor) -> FullNormal:
    log_scale = torch.log(factor.diagonal(dim1=-2, dim2=-1))
    return FullNormal(loc, log_scale.to(loc.dtype), torch.tril(factor, -1).to(loc.dtype))


def _triangular(rows: Tensor) -> Tensor:
    """The lower triangular factor, of positive diagonal, of rows rows^T: by QR, which does not square them."""
    upper = torch.linalg.qr(rows.mT).R
    return (upper * torch.sign(upper.diagonal(dim1=-2, dim2=-1))[..., None]).mT

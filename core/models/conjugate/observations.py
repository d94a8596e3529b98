"""What a component or a state gives: normals of unknown mean and precision, or choices of unknown probabilities.

Each is a prior that all components share. `prepare` makes rows of data (n, f); `log_prob` is E log p(x_i | component k)
under q, (k, n), linear in the mean parameters.
"""

import math
from typing import Any, NamedTuple, Protocol, runtime_checkable

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn import functional as F

from jensen.core import trees
from jensen.core.checks import check_floating, check_number, check_tensor, described
from jensen.core.concrete import is_concrete
from jensen.core.contracts import can
from jensen.core.distributions import Dirichlet
from jensen.core.distributions.definite import cholesky_factor
from jensen.core.exponential import DirichletFamily, ExponentialFamily, Natural, NormalWishart
from jensen.core.models.conjugate.contract import check_finite, wide
from jensen.core.models.conjugate.normal_wishart import NormalWishartFamily
from jensen.core.numerics import at_least_float32
from jensen.core.numerics.quadratics import coefficients, features


@runtime_checkable
class Observations(Protocol):
    """A family of likelihoods with its conjugate prior, of observations that have `axes` axes."""

    @property
    def axes(self) -> int: ...
    @property
    def family(self) -> ExponentialFamily: ...
    def natural(self, components: int, /) -> Natural: ...
    def prepare(self, x: Tensor, /) -> Tensor: ...
    def log_prob(self, means: Natural, rows: Tensor, /) -> Tensor: ...
    def coordinates(self, rows: Tensor, /) -> Tensor: ...
    def posterior(self, natural: Natural, /) -> Any: ...


class Normals(NamedTuple):
    """x (n, d) from N(m, P^-1) with m and P from the normal-Wishart `prior`, of one row.

    All is computed about `centre` (d,), which is to be near the data: their mean, as of `normals`.
    """

    prior: NormalWishart
    centre: Float[Tensor, " d"]

    axes = 1

    @property
    def family(self) -> NormalWishartFamily:
        return NormalWishartFamily()

    def natural(self, components: int, /) -> Natural:
        """The prior's natural parameters for each component."""
        prior = trees.map(lambda t: t.double().expand(components, *t.shape[1:]), self.prior)
        return self.family.natural(prior._replace(loc=prior.loc - self.centre.double()))

    def prepare(self, x: Float[Tensor, "n d"], /) -> Float[Tensor, "n f"]:
        """1, x and x_i x_j about the centre."""
        check_floating("x", x, f"n {len(self.centre)}", "one row per datum")
        x = at_least_float32(x)
        check_finite(x)
        return features((x.double() - self.centre.double()).to(x.dtype))

    def log_prob(self, means: Natural, rows: Float[Tensor, "n f"], /) -> Float[Tensor, "k n"]:
        """E log N(x; m, P^-1) = (E log det P - d log(2 pi) - E m^T P m) / 2 + E P m . x - x^T E P x / 2."""
        d = means["linear"].shape[-1]
        constant = 0.5 * (means["log_det"] - means["square"] - d * math.log(2 * math.pi))
        return coefficients(constant, means["linear"], -0.5 * means["z"]).to(rows.dtype) @ rows.mT

    def coordinates(self, rows: Float[Tensor, "n f"], /) -> Float[Tensor, "n d"]:
        """The data in units of the prior's scatter, for k-means."""
        d = len(self.centre)
        return rows[:, 1 : 1 + d] / self.prior.scatter[0].diagonal().sqrt().to(rows.dtype)

    def posterior(self, natural: Natural, /) -> NormalWishart:
        """One normal-Wishart for each component, (k, ...)."""
        q = self.family.from_natural(natural)
        return q._replace(loc=q.loc + self.centre.double())


class Choices(NamedTuple):
    """x (n,), whole numbers below v, with probabilities from Dirichlet(prior.concentration), (1, v)."""

    prior: Dirichlet

    axes = 0

    @property
    def family(self) -> DirichletFamily:
        return DirichletFamily()

    def natural(self, components: int, /) -> Natural:
        """The prior's natural parameters for each component."""
        return wide(self.family.natural(Dirichlet(self.prior.concentration.expand(components, -1))))

    def prepare(self, x: Int[Tensor, " n"], /) -> Float[Tensor, "n v"]:
        """1 at the choice."""
        check_tensor("x", x, "n", "one choice per datum")
        v = self.prior.concentration.shape[-1]
        if x.is_floating_point() or x.dtype == torch.bool:
            raise TypeError(f"expected x, whole numbers below {v}, got {x.dtype}: convert it with x.long()")
        if is_concrete(x) and ((x < 0) | (x >= v)).any():
            raise ValueError(f"expected x from 0 to {v - 1}, got {x.min()} to {x.max()}: give the prior more choices")
        return F.one_hot(x.long(), v).double()

    def log_prob(self, means: Natural, rows: Float[Tensor, "n v"], /) -> Float[Tensor, "k n"]:
        """E log probability of the choice."""
        return means["log"].to(rows.dtype) @ rows.mT

    def coordinates(self, rows: Float[Tensor, "n v"], /) -> Float[Tensor, "n v"]:
        """The rows themselves, for k-means."""
        return rows

    def posterior(self, natural: Natural, /) -> Dirichlet:
        """One Dirichlet for each component, (k, v)."""
        return self.family.from_natural(natural)


def normals(
    x: Float[Tensor, "n d"], strength: float = 1.0, df: float | None = None, scatter: Float[Tensor, "d d"] | None = None
) -> Normals:
    """Normals about the data's mean: of a weak prior of their own covariance, unless another scatter is given.

    df is d, unless given.
    """
    check_floating("x", x, "n d", "one row per datum")
    x = at_least_float32(x).double()
    check_finite(x)
    centre, d = x.mean(0), x.shape[1]
    if scatter is not None:
        check_floating("scatter", scatter, f"{d} {d}", "a matrix of x's components")
    own = (x - centre).mT @ (x - centre) / max(len(x) - 1, 1) if scatter is None else scatter.double()
    strength = check_number("strength", strength, "(0, inf)", "observations that the prior of the mean is worth")
    df = check_number("df", d if df is None else df, f"({d - 1}, inf)", "one less than components is too few")
    if scatter is None and is_concrete(own):
        scale = own.diagonal().sqrt()
        if torch.linalg.matrix_rank((own / (scale[:, None] * scale)).nan_to_num()) < d:
            raise ValueError(f"expected x with a covariance of rank {d}, got a lower one: pass more data, or a scatter")
    cholesky_factor("scatter", own)
    prior = NormalWishart(centre[None], centre.new_full((1,), strength), centre.new_full((1,), df), own[None])
    return Normals(prior, centre)


def check_observations(value: object) -> None:
    """TypeError for what a component cannot give."""
    if isinstance(value, type) or not can(value, Observations):
        raise TypeError(f"expected observations, such as normals(x), got {described(value)}: pass normals or Choices")

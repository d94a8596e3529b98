"""Laplace's approximation of the evidence: the posterior approximated by a normal at its mode.

Approximates  log p(x) per datum
With          log p(x, u*) + m / 2 log(2 pi) - 1/2 log det(-H), H the Hessian of log p(x, u) at its mode u*, in
              unconstrained coordinates u (m numbers), whose density has the bijection's Jacobian
Requires      a mode, with -H positive definite; no other mode that matters
Unbiased when the posterior of u is normal: then exact. Otherwise the error, which is not estimated, is O(1 / number of
              observations) and some .2 nats for one; it stays at .08 nats for each coordinate that the data push to
              the edge of its support. It depends on the coordinates: a log scale is often nearer normal than a scale
Cost          m Hessian-vector products and one Cholesky factor per datum, (n, m, m) in memory
Reference     Tierney and Kadane, 1986; MacKay, 1992
"""

import math
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from jensen.core.bijections import Real
from jensen.core.checks import check_number
from jensen.core.contracts import Bijection, LogDensity
from jensen.core.distributions import FullNormal, Pushforward
from jensen.estimators.evidence.local import Local, check_some, in_real_coordinates
from jensen.estimators.evidence.modes import missing


class Laplace(NamedTuple):
    """log_p in nats per datum (n,), the mode, and the precision root root' of the normal there, in real coordinates.

    root is upper triangular, so that root'^-1 is the covariance's Cholesky factor: it has one where rounding leaves the
    covariance itself none. NaN for data without a normal.

    climb, (n,): the gain in nats that a Newton step from the mode predicts; 0 at one. It is inf where -H is not
    positive definite and NaN where log_p is not finite, or has no derivatives. Where it is above the tolerance the
    point is no mode, and log_p is NaN.
    """

    log_p: Float[Tensor, " n"]
    mode: Float[Tensor, "n *event"]
    root: Float[Tensor, "n m m"]
    climb: Float[Tensor, " n"]
    bijection: Bijection = Real()

    @property
    def precision(self) -> Float[Tensor, "n m m"]:
        """-H, that of log p(x, u) at the mode."""
        return self.root @ self.root.mT

    @property
    def factor(self) -> Float[Tensor, "n m m"]:
        """The covariance's Cholesky factor."""
        unit = torch.eye(self.root.shape[-1], dtype=self.root.dtype, device=self.root.device)
        return torch.linalg.solve_triangular(self.root.mT, unit.expand_as(self.root), upper=False)

    @property
    def covariance(self) -> Float[Tensor, "n m m"]:
        """That of the normal."""
        factor = self.factor
        return factor @ factor.mT

    @property
    def standard_error(self) -> Float[Tensor, " n"]:
        """NaN: the approximation's error is not estimated."""
        return torch.full_like(self.log_p, torch.nan)

    @property
    def posterior(self) -> FullNormal | Pushforward:
        """N(mode, covariance), through the bijection if any: a q to start inference from, or for importance sampling.

        Its tails may be lighter than the posterior's: look at `Evidence.k_hat`. NaN for data without a covariance.
        """
        u, _ = self.bijection.inverse(self.mode)
        factor = self.factor
        normal = FullNormal(u, factor.diagonal(dim1=-2, dim2=-1).log(), torch.tril(factor, -1))
        return normal if isinstance(self.bijection, Real) else Pushforward(normal, (self.bijection,))

    def verdict(self) -> str:
        """What is not known: always the error, and log_p itself of data that are not at a mode."""
        known = "the error of log p(x) by Laplace's approximation is not estimated; it is 0 for a normal posterior"
        return "; ".join([known, *missing(torch.where(self.log_p.isnan(), self.climb, 0.0), 0.0)])


@torch.no_grad()
def laplace(
    log_p: LogDensity,
    mode: Float[Tensor, "n *event"],
    bijection: Bijection | None = None,
    tolerance: float = 1e-3,
) -> Laplace:
    """Evidence by Laplace at a mode (n, d), such as `find_mode(log_p, z).z`, for each datum by itself.

    log_p: z (s, n, *event) -> (s, n). With a bijection, such as `prior.bijection()`, the mode is in its set, and that
    of the density of the unconstrained coordinates, as `find_mode(log_p, z, bijection).z` gives it. log_p is
    NaN for a datum where a step would gain more than `tolerance` nats or -H is not positive definite, as at the edge of
    a support: see `Laplace.verdict`. ValueError where that holds for all data.
    """
    tolerance = check_number("tolerance", tolerance, "[0, inf]")
    log_p, u, bijection = in_real_coordinates(log_p, "mode", mode, bijection)
    found = at(log_p, u, tolerance)._replace(mode=mode.detach(), bijection=bijection)
    check_some(
        found.climb <= tolerance, lambda: f"expected modes, got none: {'; '.join(missing(found.climb, tolerance))}"
    )
    return found


def at(log_p: LogDensity, u: Float[Tensor, "n m"], tolerance: float) -> Laplace:
    """Evidence at points in real coordinates, none of which need be a mode."""
    here = Local.of(log_p, u)
    hessian = here.hessian()
    finite = here.finite() & hessian.isfinite().flatten(1).all(1)
    unit = torch.eye(u.shape[-1], dtype=u.dtype, device=u.device)
    flipped, failed = torch.linalg.cholesky_ex(torch.where(finite[:, None, None], -hessian, unit).flip(-2, -1))
    root = flipped.flip(-2, -1)
    pivots = root.diagonal(dim1=-2, dim2=-1).square()
    rounding = 10 * torch.finfo(u.dtype).eps * hessian.diagonal(dim1=-2, dim2=-1).abs()
    definite = finite & (failed == 0) & (pivots > rounding).all(-1)
    root = torch.where(definite[:, None, None], root, torch.nan)
    whitened = torch.linalg.solve_triangular(root, here.slope[..., None], upper=True)
    climb = torch.where(definite, 0.5 * whitened.square().sum((-2, -1)), torch.where(finite, torch.inf, torch.nan))
    half_log_det = root.diagonal(dim1=-2, dim2=-1).log().sum(-1)
    log_evidence = here.value + 0.5 * u.shape[-1] * math.log(2 * math.pi) - half_log_det
    return Laplace(torch.where(climb <= tolerance, log_evidence, torch.nan), u, root, climb)

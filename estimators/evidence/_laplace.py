"""Laplace's approximation of the evidence: the posterior approximated by a normal at its mode.

Approximates  log p(x) per datum
With          log p(x, z*) + d / 2 log(2 pi) - 1/2 log det(-H), H the Hessian of log p(x, z) at its mode z*
Requires      a mode inside the support, with -H positive definite; no other mode that matters
Unbiased when the posterior is normal: then exact; otherwise the error is O(1 / number of observations), and not
              estimated. It depends on the parameterisation: a log scale is often closer to normal than a scale
Cost          d Hessian-vector products and one Cholesky factor per datum, (n, d, d) in memory
Reference     Tierney and Kadane, 1986; MacKay, 1992
"""

import math
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from jensen.core.contracts import LogDensity
from jensen.core.distributions import FullNormal
from jensen.estimators.gradients.contract import density


class Laplace(NamedTuple):
    """log_p in nats per datum (n,), the mode and the covariance of the normal there.

    climb, (n,): the gain in nats that a Newton step from z predicts, 0 at a mode.
    """

    log_p: Float[Tensor, " n"]
    mode: Float[Tensor, "n d"]
    covariance: Float[Tensor, "n d d"]
    climb: Float[Tensor, " n"]

    @property
    def standard_error(self) -> Float[Tensor, " n"]:
        """NaN: the approximation's error is not estimated."""
        return torch.full_like(self.log_p, torch.nan)

    @property
    def posterior(self) -> FullNormal:
        """N(mode, covariance): a q to start inference from, or for importance sampling."""
        return FullNormal.from_covariance(self.mode, self.covariance)


@torch.no_grad()
def laplace(log_p: LogDensity, mode: Float[Tensor, "n d"]) -> Laplace:
    """Evidence by Laplace at a mode (n, d), such as `find_mode` gives; log_p: z (s, n, d) -> (s, n).

    ValueError where -H is not positive definite, which names the data.
    """
    value, slope, hessian = _quadratic(log_p, mode.detach())
    factor, info = torch.linalg.cholesky_ex(-hessian)
    if (info != 0).any():
        raise ValueError(
            "expected a mode, where minus the Hessian is positive definite, got none for data "
            f"{(info != 0).nonzero()[:10, 0].tolist()}: climb with find_mode(log_p, z), "
            "from a start elsewhere if it gave this point, or change parameters"
        )
    log_det = 2 * factor.diagonal(dim1=-2, dim2=-1).log().sum(-1)
    step = torch.cholesky_solve(slope[..., None], factor)[..., 0]
    log_evidence = value + 0.5 * mode.shape[-1] * math.log(2 * math.pi) - 0.5 * log_det
    return Laplace(log_evidence, mode.detach(), torch.cholesky_inverse(factor), 0.5 * (slope * step).sum(-1))


@torch.no_grad()
def find_mode(
    log_p: LogDensity, z: Float[Tensor, "n d"], steps: int = 100, tolerance: float = 1e-10
) -> Float[Tensor, "n d"]:
    """A local mode of log_p from a start z (n, d), by damped Newton steps, each datum at its own damping.

    A step solves (-H + damping) step = slope; one that would lower log_p is rejected, and its damping grows tenfold.
    Ends when every datum's predicted gain is at most `tolerance` nats, or after `steps`: see `Laplace.climb`. A start
    at a minimum or a saddle, with slope 0, is returned, and `laplace` refuses it: start elsewhere.
    """
    z = z.detach()
    damping = torch.ones_like(z[:, 0])
    for _ in range(steps):
        value, slope, hessian = _quadratic(log_p, z)
        spectrum, basis = torch.linalg.eigh(-hessian)
        curvature = spectrum.abs().clamp_min(1e-12) + damping[:, None]  # uphill even where log_p is convex
        step = torch.einsum("nij,nj,nkj,nk->ni", basis, 1 / curvature, basis, slope)
        if ((slope * step).sum(-1) <= tolerance).all():
            break
        better = density(log_p, (z + step)[None])[0] > value
        z = torch.where(better[:, None], z + step, z)
        damping = torch.where(better, damping / 10, damping.clamp_min(1e-6) * 10)
    return z


def _quadratic(log_p: LogDensity, z: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """log_p (n,), its slope (n, d) and Hessian (n, d, d); data are independent, so one product gives a row for all."""
    if z.ndim != 2:
        raise ValueError(f"expected one point per datum, z (n, d), got {tuple(z.shape)}")

    def total(z: Tensor) -> tuple[Tensor, Tensor]:
        value = density(log_p, z[None])[0]
        return value.sum(), value

    first = torch.func.grad(total, has_aux=True)
    slope, value = first(z)
    units = torch.eye(z.shape[-1], dtype=z.dtype, device=z.device)[:, None].expand(-1, *z.shape)
    rows = torch.func.vmap(lambda unit: torch.func.jvp(lambda z: first(z)[0], (z,), (unit,))[1])(units)
    return value.detach(), slope.detach(), rows.permute(1, 2, 0).detach()

"""Gaussian processes of time given noisy observations, by inducing points (Titsias, 2009; Hensman et al., 2013).

    f ~ GP(0, k)    k(t, t') = exp(-(t - t')^2 / (2 length^2))    u = f(places) + N(0, jitter)

For observations y_i of f(t_i) with standard deviations s_i, q(f) = p(f | u) q(u), with the best q(u) there is for them.
In v = L^-1 u of the factor L of K + jitter I, whose prior is N(0, I), and with A = L^-1 k(places, t):

    q(v) = N(B^-1 A (y / s^2), B^-1)    B = I + A diag(1 / s^2) A^T

so that no covariance but K is inverted, whose condition number is at most 1 + m / jitter of m places; B's eigenvalues
are 1 at least. The jitter is noise of the inducing values, and no approximation: a bound by this q is one at any of it.
Where the places are the times of all observations, q is the exact posterior as the jitter tends to 0.
"""

from typing import NamedTuple

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from jensen.core.distributions import DiagNormal
from jensen.core.distributions.definite import cholesky_factor
from jensen.core.numerics import bounded


class SparseGP(NamedTuple):
    """q(f) of n series and l independent processes each, and of m inducing places that all of them share."""

    mean: Float[Tensor, "n l m"]  # of v
    factor: Float[Tensor, "n l m m"]  # Cholesky's of B
    places: Float[Tensor, " m"]
    log_length: Float[Tensor, " l"]
    jitter: Float[Tensor, ""]

    @classmethod
    def of(
        cls,
        y: DiagNormal,
        times: Float[Tensor, "n t"],
        mask: Bool[Tensor, "n t"],
        places: Float[Tensor, " m"],
        log_length: Float[Tensor, " l"],
        jitter: Float[Tensor, ""],
    ) -> "SparseGP":
        """Given observations at times where the mask is True, with means and log standard deviations y (n, t, l)."""
        a = _whitened(times, places, log_length, jitter)
        precision = torch.where(mask[..., None], torch.exp(-2 * bounded(y.log_scale)), 0.0).mT[..., None, :]
        weighted, eye = a * precision, torch.eye(len(places), dtype=a.dtype, device=a.device)
        factor = cholesky_factor("B", eye + weighted @ a.mT)
        loc = torch.where(mask[..., None], y.loc, 0.0).mT[..., None]
        return cls(torch.cholesky_solve(weighted @ loc, factor)[..., 0], factor, places, log_length, jitter)

    def at(self, times: Float[Tensor, "n t"]) -> DiagNormal:
        """The marginal of f at each time, fields (n, t, l): A^T mean, and 1 - |A|^2 + A^T B^-1 A of each column."""
        a = _whitened(times, self.places, self.log_length, self.jitter)
        loc = (a * self.mean[..., None]).sum(-2)
        left = torch.linalg.solve_triangular(self.factor, a, upper=False)
        variance = (1 - a.square().sum(-2)).clamp_min(0) + left.square().sum(-2)
        return DiagNormal(loc.mT, 0.5 * torch.log(variance + torch.finfo(a.dtype).tiny).mT)

    def kl(self) -> Float[Tensor, "n l"]:
        """KL(q(u) || p(u)), which is that of f, by process: (tr B^-1 + |mean|^2 - m + log det B) / 2 in nats."""
        m = self.mean.shape[-1]
        eye = torch.eye(m, dtype=self.mean.dtype, device=self.mean.device).expand_as(self.factor)
        trace = torch.linalg.solve_triangular(self.factor, eye, upper=False).square().sum((-2, -1))
        log_det = 2 * torch.log(self.factor.diagonal(dim1=-2, dim2=-1)).sum(-1)
        return 0.5 * (trace + self.mean.square().sum(-1) - m + log_det)


def kernel(s: Float[Tensor, " m"], t: Float[Tensor, "*t"], log_length: Float[Tensor, " l"]) -> Float[Tensor, "l m *t"]:
    """k(s, t) of all pairs."""
    gap = s.reshape(-1, *(1,) * t.ndim) - t
    return torch.exp(-0.5 * (gap * torch.exp(-log_length).reshape(-1, *(1,) * gap.ndim)).square())


def _whitened(times: Tensor, places: Tensor, log_length: Tensor, jitter: Tensor) -> Tensor:
    """A = L^-1 k(places, times): (n, l, m, t)."""
    eye = torch.eye(len(places), dtype=places.dtype, device=places.device)
    factor = cholesky_factor("the kernel of the inducing places", kernel(places, places, log_length) + jitter * eye)
    across = kernel(places, times, log_length)
    return torch.linalg.solve_triangular(factor, across.flatten(2), upper=False).unflatten(2, times.shape).movedim(2, 0)

"""Probabilistic PCA with given weights: z ~ N(0, I), x | z ~ N(W z, scale^2), all of which is known in closed form."""

import math
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from jensen.core.checks import check_floating, described
from jensen.core.distributions import DiagNormal
from jensen.core.numerics import bounded


class LinearNormal(NamedTuple):
    """A model whose evidence and bounds need no samples: weight (D, d), and one scale for all of x."""

    weight: Float[Tensor, "D d"]
    log_scale: Float[Tensor, ""]

    def elbo(self, q: DiagNormal, x: Float[Tensor, "n D"], /) -> Float[Tensor, " n"]:
        """E_q log p(x | z) - KL(q || p) of q with fields (n, d), in nats per datum.

        Quadratic in q's mean: E |x - W z|^2 = |x - W m|^2 + sum_d s_d^2 |w_d|^2.
        """
        self._check(x)
        if not isinstance(q, DiagNormal):
            raise TypeError(f"expected q, a DiagNormal with fields ({len(x)}, d), got {described(q)}: build one")
        check_floating("q.loc", q.loc, f"n {self.weight.shape[1]}", "a row per datum, as wide as the weight")
        if len(q.loc) != len(x):
            raise ValueError(f"expected x and q of as many data, got {len(x)} and {len(q.loc)}: make q of x")
        error = (x - q.mean() @ self.weight.T).square().sum(-1)
        error = error + (torch.exp(2 * bounded(q.log_scale)) * self.weight.square().sum(0)).sum(-1)
        log_scale, zeros = bounded(self.log_scale), torch.zeros_like(q.loc)
        constant = x.shape[-1] * (0.5 * math.log(2 * math.pi) + log_scale)
        return -0.5 * error * torch.exp(-2 * log_scale) - constant - q.kl(DiagNormal(zeros, zeros))

    def log_evidence(self, x: Float[Tensor, "n D"], /) -> Float[Tensor, " n"]:
        """log N(x; 0, W W^T + scale^2 I), in nats per datum."""
        self._check(x)
        noise = torch.exp(2 * bounded(self.log_scale)) * torch.eye(x.shape[-1], dtype=x.dtype, device=x.device)
        root = torch.linalg.cholesky(self.weight @ self.weight.T + noise)
        white = torch.linalg.solve_triangular(root, x.T, upper=False)
        log_det = root.diagonal().log().sum()
        return -0.5 * white.square().sum(0) - log_det - 0.5 * x.shape[-1] * math.log(2 * math.pi)

    def _check(self, x: Tensor) -> None:
        check_floating("weight", self.weight, "D d", "a column per latent dimension")
        check_floating("x", x, f"n {len(self.weight)}", "as wide as the weight is long")

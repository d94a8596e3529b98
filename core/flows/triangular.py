"""The affine map by a lower-triangular factor: the root of a covariance, and its mean."""

from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from jensen.core.checks import check_floating
from jensen.core.flows._zeros import zeros


class Triangular(NamedTuple):
    """z' = loc + (diag(exp(log_scale)) + L) z, with L what is below the diagonal of `lower`.

    It takes N(0, I) to the normal with mean loc and this Cholesky factor.

    Log det     sum_d log_scale
    Context     ignored; see `Hypernetwork`
    Per datum   with an axis n in its fields, one map for each datum; without, one for all
    Reference   the whitening of Kessy et al., 2018, by Cholesky's factor
    """

    loc: Float[Tensor, "*n d"]
    log_scale: Float[Tensor, "*n d"]
    lower: Float[Tensor, "*n d d"]

    @classmethod
    def identity(cls, d: int, dtype: torch.dtype = torch.float32) -> "Triangular":
        return cls(zeros(d, dtype), zeros(d, dtype), torch.diag(zeros(d, dtype)))

    @classmethod
    def of(cls, loc: Float[Tensor, " d"], factor: Float[Tensor, "d d"]) -> "Triangular":
        """The map with a Cholesky factor, whose diagonal is positive."""
        check_floating("loc", loc, "d", "one point")
        d = len(loc)
        check_floating("factor", factor, f"{d} {d}", "such as torch.linalg.cholesky gives")
        return cls(loc, torch.log(factor.diagonal()), torch.tril(factor, -1))

    def forward(
        self, z: Float[Tensor, "*s n d"], context: Tensor | None = None, /
    ) -> tuple[Float[Tensor, "*s n d"], Float[Tensor, "*s n"]]:
        self._check(z)
        moved = torch.exp(self.log_scale) * z + (torch.tril(self.lower, -1) @ z[..., None])[..., 0]
        return self.loc + moved, self.log_scale.sum(-1) + torch.zeros_like(z[..., 0])

    def inverse(
        self, z: Float[Tensor, "*s n d"], context: Tensor | None = None, /
    ) -> tuple[Float[Tensor, "*s n d"], Float[Tensor, "*s n"]]:
        self._check(z)
        factor = torch.tril(self.lower, -1) + torch.diag_embed(torch.exp(self.log_scale))
        found = torch.linalg.solve_triangular(factor, (z - self.loc)[..., None], upper=False)[..., 0]
        return found, torch.zeros_like(z[..., 0]) - self.log_scale.sum(-1)

    def _check(self, z: Tensor) -> None:
        d = self.loc.shape[-1]
        check_floating("z", z, f"... {d}", f"the flow is of {d} components")

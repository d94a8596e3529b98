"""A mixture of normals that was fitted, as a distribution and in words."""

from typing import NamedTuple

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from jensen.core.checks import check_floating
from jensen.core.distributions import FullNormal, Mixture
from jensen.core.distributions.definite import cholesky_factor
from jensen.estimators.wording import listed


class NormalMixture(NamedTuple):
    """A mixture of k normals, and what the data say of each: its count, and whether its covariance is at the floor."""

    weights: Float[Tensor, " k"]
    loc: Float[Tensor, "k d"]
    covariance: Float[Tensor, "k d d"]
    floored: Bool[Tensor, " k"]
    counts: Float[Tensor, " k"]

    def distribution(self) -> Mixture:
        """As a distribution with one row, (1, k)."""
        q = self._normals()
        return Mixture(torch.log(self.weights)[None], FullNormal(q.loc[None], q.log_scale[None], q.lower[None]))

    def responsibilities(self, x: Float[Tensor, "n d"]) -> Float[Tensor, "n k"]:
        """p(k | x)."""
        check_floating("x", x, f"n {self.loc.shape[1]}", "one row per datum")
        log_p = self._normals().log_prob(x[:, None].expand(-1, *self.loc.shape))
        return torch.softmax(torch.log(self.weights) + log_p, -1)

    def verdict(self) -> str:
        """Which components are not to be read as clusters."""
        reasons = []
        if (empty := self.counts < 1).any():
            reasons.append(f"components {listed(empty)} have less than one datum: fewer would do")
        if self.floored.any():
            reasons.append(
                f"the covariances of components {listed(self.floored)} are at their floor, where the likelihood would "
                "grow without bound: use fewer components, or tied or diagonal covariances"
            )
        return "; ".join(reasons) or "every component has data, and a covariance above the floor"

    def _normals(self) -> FullNormal:
        """A row for each component, by the factors of correlations, so that columns of x may be of any units."""
        covariance, dtype = self.covariance.double(), self.loc.dtype
        scale = covariance.diagonal(dim1=-2, dim2=-1).sqrt()
        factor = cholesky_factor("covariance", covariance / (scale[:, :, None] * scale[:, None]))
        log_scale = torch.log(scale * factor.diagonal(dim1=-2, dim2=-1))
        return FullNormal(self.loc, log_scale.to(dtype), (scale[:, :, None] * torch.tril(factor, -1)).to(dtype))

"""A mixture of normals that was fitted, as a distribution and in words."""

from typing import NamedTuple

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from jensen.core.checks import check_floating, check_number
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

    def log_prob(self, x: Float[Tensor, "n d"]) -> Float[Tensor, " n"]:
        """log p(x) in nats."""
        check_floating("x", x, f"n {self.loc.shape[1]}", "one row per datum")
        return self.distribution().log_prob(x[:, None])[:, 0]

    def degenerate(self) -> Bool[Tensor, " k"]:
        """Which components have less than one datum, or a covariance at its floor."""
        return (self.counts < 1) | self.floored

    def reseeded(self, x: Float[Tensor, "n d"], share: float = 0.0) -> "NormalMixture":
        """Degenerate components moved to data that the mixture explains badly, one after another.

        share: of the data that are explained worse still, 0 for the worst. Each component gets an even share of the
        weight and the others' mean covariance. Where all are degenerate, and where none is, the mixture is this one.
        """
        check_floating("x", x, f"n {self.loc.shape[1]}", "one row per datum")
        share = check_number("share", share, "[0, 1)", "0 for the datum explained worst")
        bad = self.degenerate()
        if not bad.any() or bad.all():
            return self
        mixture, count = self, len(self.weights)
        kept = self.weights * ~bad
        pooled = torch.tensordot(kept / kept.sum(), self.covariance, 1)
        for k in bad.nonzero()[:, 0]:
            here = torch.arange(count, device=bad.device) == k
            worst = x[mixture.log_prob(x).argsort()[int(share * len(x))]].to(self.loc)
            others = mixture.weights * ~here
            weights = torch.where(here, 1 / count, others * (1 - 1 / count) / others.sum())
            mixture = NormalMixture(
                weights,
                torch.where(here[:, None], worst, mixture.loc),
                torch.where(here[:, None, None], pooled, mixture.covariance),
                mixture.floored & ~here,
                weights * len(x),
            )
        return mixture

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

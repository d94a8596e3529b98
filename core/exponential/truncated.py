"""The exponential family of truncated normals whose ends are known."""

from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor
from torch.func import grad

from jensen.core import trees
from jensen.core.distributions import TruncatedNormal
from jensen.core.exponential.family import Natural, check_member, check_some_member, check_statistics
from jensen.core.numerics import HALF_LOG_2PI, bounded, double

STEPS = 40  # of Newton's, damped
CLOSE = 1e-6  # standard deviations of a statistic that its mean may be off


class TruncatedNormalFamily(NamedTuple):
    """eta . T = loc / scale^2 z - z^2 / (2 scale^2), low < z < high, both known.

    Statistics  z; z^2
    Partition   the normal's + log of the mass between the ends
    Base        1
    Means       E z^2 > (E z)^2, and where an end is finite less than that of a density e^(t z) of the same E z there
    """

    low: Float[Tensor, "*n d"]
    high: Float[Tensor, "*n d"]

    axes = {"z": 1, "square": 1}  # noqa: RUF012

    def natural(self, q: TruncatedNormal, /) -> Natural:
        """{"z": loc / scale^2, "square": -1 / (2 scale^2)}."""
        check_member(q, TruncatedNormal, self)
        precision = torch.exp(-2 * bounded(q.log_scale))
        return {"z": precision * q.loc, "square": -0.5 * precision}

    def from_natural(self, eta: Natural, /) -> TruncatedNormal:
        """scale^2 = -1 / (2 eta_square), loc = scale^2 eta_z."""
        check_statistics("eta", eta, self)
        check_some_member("eta['square']", eta["square"] < 0, "values below 0")
        return self._member(eta)

    def from_mean(self, mean: Natural, /) -> TruncatedNormal:
        """Newton's steps on the concave eta . mean - A(eta), damped by 1 / (1 + decrement); float64 within."""
        check_statistics("mean", mean, self)
        wide = trees.map(double, mean)
        variance = wide["square"] - wide["z"].square()
        check_some_member("mean", variance > 0, "'square' above the square of 'z'")
        fixed, precision = trees.stop(wide), 1 / variance.detach()
        eta = {"z": precision * fixed["z"], "square": -0.5 * precision}
        for _ in range(STEPS):
            step, decrement = self._newton(eta, fixed)
            moved = trees.map(lambda t, s, d=decrement: (t + s / (1 + d)).detach(), eta, step)
            eta = {"z": moved["z"], "square": torch.where(moved["square"] < 0, moved["square"], eta["square"] / 2)}
        _, decrement = self._newton(eta, fixed)
        check_some_member("mean", decrement < CLOSE, "moments of a normal between these ends")
        for _ in range(2):  # which give the root its derivatives: see `numerics.polished`
            eta = trees.map(torch.add, eta, self._newton(eta, wide)[0])
        return self._member(trees.map(lambda t: t.to(mean["z"].dtype), eta))

    def statistics(self, z: Float[Tensor, "... d"], /) -> Natural:
        """{"z": z, "square": z^2}."""
        return {"z": z, "square": z.square()}

    def log_base(self, z: Float[Tensor, "... d"], /) -> Float[Tensor, "..."]:
        """0."""
        return torch.zeros_like(z[..., 0])

    def log_partition(self, eta: Natural, /) -> Float[Tensor, "..."]:
        """sum_d loc^2 / (2 scale^2) + log scale + log(2 pi) / 2 + log of the mass between the ends."""
        check_statistics("eta", eta, self)
        return self._terms(trees.map(double, eta)).sum(-1).to(eta["z"].dtype)

    def _member(self, eta: Natural) -> TruncatedNormal:
        return TruncatedNormal(-0.5 * eta["z"] / eta["square"], -0.5 * torch.log(-2 * eta["square"]), *self)

    def _terms(self, eta: Natural) -> Tensor:
        """A by component."""
        member = self._member(eta)
        normal = -0.25 * eta["z"].square() / eta["square"] + member.log_scale + HALF_LOG_2PI
        return normal + member._piece().log_mass()

    def _newton(self, eta: Natural, mean: Natural) -> tuple[Natural, Tensor]:
        """F^-1 (mean - grad A) by component, and its length in standard deviations, the decrement."""

        def slopes(eta: Natural) -> Natural:
            return grad(lambda eta: self._terms(eta).sum())(eta)

        off = trees.map(torch.sub, mean, slopes(eta))
        of_z, of_square = (grad(lambda eta, name=name: slopes(eta)[name].sum())(eta) for name in ("z", "square"))
        determinant = of_z["z"] * of_square["square"] - of_z["square"].square()
        z = (of_square["square"] * off["z"] - of_z["square"] * off["square"]) / determinant
        square = (of_z["z"] * off["square"] - of_z["square"] * off["z"]) / determinant
        return {"z": z, "square": square}, (z * off["z"] + square * off["square"]).clamp_min(0).sqrt()

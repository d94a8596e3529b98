"""The exponential family of a normal's mean and precision, with the conjugate pair `NormalWishart` as its members."""

import math
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from jensen.core.exponential import NormalWishart, WishartFamily
from jensen.core.exponential.family import Natural, check_member, check_some_member, check_statistics
from jensen.core.trees import Tree


class NormalWishartFamily(NamedTuple):
    """The normal-Wishart family of z = {"loc": m, "precision": P}, whose exponent eta . T is

        (df - d) / 2 log det P - tr(P (scatter + strength loc loc^T)) / 2 + strength loc . P m - strength m^T P m / 2

    Statistics  log det P; P; P m; m^T P m
    Partition   the Wishart's, and d log(2 pi / strength) / 2
    Base        1
    Means       those of a Wishart, and E m^T P m above that of the mean E P^-1 E P m
    """

    axes = {"log_det": 0, "z": 2, "linear": 1, "square": 0}  # noqa: RUF012

    def natural(self, q: NormalWishart, /) -> Natural:
        """Of (n, d): {"log_det": (n,), "z": (n, d, d), "linear": (n, d), "square": (n,)}."""
        check_member(q, NormalWishart, self)
        linear = q.strength[..., None] * q.loc
        return {
            "log_det": 0.5 * (q.df - q.loc.shape[-1]),
            "z": -0.5 * (q.scatter + linear[..., :, None] * q.loc[..., None, :]),
            "linear": linear,
            "square": -0.5 * q.strength,
        }

    def from_natural(self, eta: Natural, /) -> NormalWishart:
        """strength = -2 eta_square, loc = eta_linear / strength; scatter is what -2 eta_z has above that of loc."""
        check_statistics("eta", eta, self)
        check_some_member("eta['square']", eta["square"] < 0, "values below 0")
        strength = -2 * eta["square"]
        loc = eta["linear"] / strength[..., None]
        scatter = -(eta["z"] + eta["z"].mT) - eta["linear"][..., :, None] * loc[..., None, :]
        return NormalWishart(loc, strength, 2 * eta["log_det"] + loc.shape[-1], scatter)

    def from_mean(self, mean: Natural, /) -> NormalWishart:
        """The Wishart of E P and E log det P; loc = E P^-1 E P m, d / strength = E m^T P m - loc^T E P loc."""
        check_statistics("mean", mean, self)
        family = WishartFamily()
        eta = family.natural(family.from_mean({"log_det": mean["log_det"], "z": mean["z"]}))
        loc = torch.linalg.solve(mean["z"], mean["linear"][..., None])[..., 0]
        above = mean["square"] - (loc * mean["linear"]).sum(-1)
        check_some_member("mean", above > 0, "'square' above that of the mean")
        d = loc.shape[-1]
        return NormalWishart(loc, d / above, 2 * eta["log_det"] + d + 1, -2 * eta["z"])

    def statistics(self, z: Tree, /) -> Natural:
        """Of {"loc": (s, n, d), "precision": (s, n, d, d)}."""
        linear = (z["precision"] @ z["loc"][..., None])[..., 0]
        of_precision = WishartFamily().statistics(z["precision"])
        return {**of_precision, "linear": linear, "square": (z["loc"] * linear).sum(-1)}

    def log_base(self, z: Tree, /) -> Float[Tensor, "..."]:
        """0."""
        return torch.zeros_like(z["loc"][..., 0])

    def log_partition(self, eta: Natural, /) -> Float[Tensor, "..."]:
        """d log(2 pi / strength) / 2 + df (d log 2 - log det scatter) / 2 + log Gamma_d(df / 2)."""
        check_statistics("eta", eta, self)
        strength, d = -2 * eta["square"], eta["linear"].shape[-1]
        scatter = -(eta["z"] + eta["z"].mT)
        scatter = scatter - eta["linear"][..., :, None] * eta["linear"][..., None, :] / strength[..., None, None]
        of_precision = {"log_det": eta["log_det"] - 0.5, "z": -0.5 * scatter}
        return 0.5 * d * torch.log(2 * math.pi / strength) + WishartFamily().log_partition(of_precision)

"""Scale families that are exponential where their location, or the end of their support, is known."""

import math
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from jensen.core.distributions import Laplace, Pareto
from jensen.core.exponential.family import Natural, check_member, check_some_member, check_statistics
from jensen.core.numerics import bounded, log_ratio


class LaplaceFamily(NamedTuple):
    """eta . T = -|z - loc| / scale, loc known: eta < 0.

    Statistics  |z - loc|
    Partition   log(2 / -eta)
    Base        1
    Means       above 0
    """

    loc: Float[Tensor, "*n d"]

    axes = {"distance": 1}  # noqa: RUF012

    def natural(self, q: Laplace, /) -> Natural:
        """{"distance": -1 / scale}."""
        check_member(q, Laplace, self)
        return {"distance": -torch.exp(-bounded(q.log_scale))}

    def from_natural(self, eta: Natural, /) -> Laplace:
        """scale = -1 / eta."""
        check_statistics("eta", eta, self)
        check_some_member("eta['distance']", eta["distance"] < 0, "values below 0")
        return Laplace(self.loc, -torch.log(-eta["distance"]))

    def from_mean(self, mean: Natural, /) -> Laplace:
        """scale = mean."""
        check_statistics("mean", mean, self)
        check_some_member("mean['distance']", mean["distance"] > 0, "values above 0")
        return Laplace(self.loc, torch.log(mean["distance"]))

    def statistics(self, z: Float[Tensor, "... d"], /) -> Natural:
        """{"distance": |z - loc|}."""
        return {"distance": (z - self.loc).abs()}

    def log_base(self, z: Float[Tensor, "... d"], /) -> Float[Tensor, "..."]:
        """0."""
        return torch.zeros_like(z[..., 0])

    def log_partition(self, eta: Natural, /) -> Float[Tensor, "..."]:
        """sum_d log 2 - log -eta."""
        check_statistics("eta", eta, self)
        return (math.log(2) - torch.log(-eta["distance"])).sum(-1)


class ParetoFamily(NamedTuple):
    """eta . T = -a log(z / m), a = concentration, m = scale known: eta < 0.

    Statistics  log(z / m)
    Partition   -log -eta
    Base        1 / z
    Means       above 0
    """

    scale: Float[Tensor, "*n d"]

    axes = {"log": 1}  # noqa: RUF012

    def natural(self, q: Pareto, /) -> Natural:
        """{"log": -a}."""
        check_member(q, Pareto, self)
        return {"log": -q.concentration}

    def from_natural(self, eta: Natural, /) -> Pareto:
        """a = -eta."""
        check_statistics("eta", eta, self)
        check_some_member("eta['log']", eta["log"] < 0, "values below 0")
        return Pareto(self.scale, -eta["log"])

    def from_mean(self, mean: Natural, /) -> Pareto:
        """a = 1 / mean."""
        check_statistics("mean", mean, self)
        check_some_member("mean['log']", mean["log"] > 0, "values above 0")
        return Pareto(self.scale, 1 / mean["log"])

    def statistics(self, z: Float[Tensor, "... d"], /) -> Natural:
        """{"log": log(z / m)}."""
        return {"log": log_ratio(z, self.scale)}

    def log_base(self, z: Float[Tensor, "... d"], /) -> Float[Tensor, "..."]:
        """-sum_d log z."""
        return -torch.log(z).sum(-1)

    def log_partition(self, eta: Natural, /) -> Float[Tensor, "..."]:
        """-sum_d log -eta."""
        check_statistics("eta", eta, self)
        return -torch.log(-eta["log"]).sum(-1)

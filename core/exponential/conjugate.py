"""The conjugate prior of any exponential family (Diaconis and Ylvisaker, 1979)."""

from typing import NamedTuple

from jaxtyping import Float
from torch import Tensor

from jensen.core import trees
from jensen.core.checks import check_floating
from jensen.core.contracts import Distribution
from jensen.core.exponential.family import (
    ExponentialFamily,
    Natural,
    check_family,
    check_statistics,
    inner,
    mean_parameters,
)


class Conjugate(NamedTuple):
    """p(eta) proportional to exp(chi . eta - nu A(eta)): as after nu observations whose statistics sum to chi.

    chi is a dict by statistic, (n, ...) each, and nu > 0 is (n,), or 0-d for all data. Its normaliser, where that has a
    closed form, is in the pairs by name: `BetaBernoulli`, `GammaPoisson`, `NormalInverseGamma` and others.
    """

    family: ExponentialFamily
    chi: Natural
    nu: Float[Tensor, "*n"]

    @classmethod
    def around(cls, family: ExponentialFamily, q: Distribution, nu: Float[Tensor, "*n"]) -> "Conjugate":
        """The prior of nu observations that are, on average, as those of q."""
        check_family(family)
        check_floating("nu", nu)
        mean = mean_parameters(family, family.natural(q))
        return cls(family, _times(family, nu, mean), nu)

    def posterior(self, x: Tensor, /) -> "Conjugate":
        """After observations x (s, n, *event): chi + sum T(x), nu + s."""
        check_statistics("chi", self.chi, self.family)
        check_floating("x", x, "s ...", "observations come first")
        statistics = self.family.statistics(x)
        return self._replace(chi=trees.map(lambda c, t: c + t.sum(0), self.chi, statistics), nu=self.nu + len(x))

    def log_density(self, eta: Natural, /) -> Float[Tensor, "..."]:
        """chi . eta - nu A(eta) in nats, without its normaliser: (n,)."""
        return inner(self.family, eta, self.chi) - self.nu * self.family.log_partition(eta)

    def mean(self) -> Natural:
        """The expectation of the mean parameters, chi / nu, where the density of eta vanishes at the edge."""
        return _times(self.family, 1 / self.nu, self.chi)

    def mode(self) -> Distribution:
        """The member at the largest density of eta, whose mean parameters are chi / nu."""
        return self.family.from_mean(self.mean())


def _times(family: ExponentialFamily, factor: Tensor, statistics: Natural) -> Natural:
    return {name: factor.reshape(*factor.shape, *[1] * axes) * statistics[name] for name, axes in family.axes.items()}

"""The exponential family of each distribution that has one: one row each."""

from collections.abc import Callable
from typing import Any

from jensen.core.checks import check_distribution
from jensen.core.contracts import Distribution
from jensen.core.distributions import (
    Bernoulli,
    Beta,
    Binomial,
    Categorical,
    ChiSquared,
    ContinuousBernoulli,
    DiagNormal,
    Dirichlet,
    Exponential,
    FullNormal,
    Gamma,
    Geometric,
    InverseGamma,
    Laplace,
    LogNormal,
    Multinomial,
    NegativeBinomial,
    Pareto,
    Poisson,
    TruncatedNormal,
    VonMisesFisher,
    Wishart,
)
from jensen.core.exponential.choices import CategoricalFamily, MultinomialFamily
from jensen.core.exponential.counts import (
    BernoulliFamily,
    BinomialFamily,
    GeometricFamily,
    NegativeBinomialFamily,
    PoissonFamily,
)
from jensen.core.exponential.directions import VonMisesFisherFamily
from jensen.core.exponential.family import ExponentialFamily
from jensen.core.exponential.gammas import (
    ChiSquaredFamily,
    ExponentialDistributionFamily,
    GammaFamily,
    InverseGammaFamily,
)
from jensen.core.exponential.known import LaplaceFamily, ParetoFamily
from jensen.core.exponential.normals import DiagNormalFamily, FullNormalFamily, LogNormalFamily
from jensen.core.exponential.shares import BetaFamily, ContinuousBernoulliFamily, DirichletFamily
from jensen.core.exponential.truncated import TruncatedNormalFamily
from jensen.core.exponential.wisharts import WishartFamily

FAMILIES: dict[type, Callable[[Any], ExponentialFamily]] = {
    Bernoulli: lambda q: BernoulliFamily(),
    Beta: lambda q: BetaFamily(),
    Binomial: lambda q: BinomialFamily(q.total_count),
    Categorical: lambda q: CategoricalFamily(),
    ChiSquared: lambda q: ChiSquaredFamily(),
    ContinuousBernoulli: lambda q: ContinuousBernoulliFamily(),
    DiagNormal: lambda q: DiagNormalFamily(),
    Dirichlet: lambda q: DirichletFamily(),
    Exponential: lambda q: ExponentialDistributionFamily(),
    FullNormal: lambda q: FullNormalFamily(),
    Gamma: lambda q: GammaFamily(),
    Geometric: lambda q: GeometricFamily(),
    InverseGamma: lambda q: InverseGammaFamily(),
    Laplace: lambda q: LaplaceFamily(q.loc),
    LogNormal: lambda q: LogNormalFamily(),
    Multinomial: lambda q: MultinomialFamily(q.total_count),
    NegativeBinomial: lambda q: NegativeBinomialFamily(q.total_count),
    Pareto: lambda q: ParetoFamily(q.scale),
    Poisson: lambda q: PoissonFamily(),
    TruncatedNormal: lambda q: TruncatedNormalFamily(q.low, q.high),
    VonMisesFisher: lambda q: VonMisesFisherFamily(),
    Wishart: lambda q: WishartFamily(),
}


def family(q: Distribution) -> ExponentialFamily:
    """The exponential family that q is a member of, with what is known of it, as a binomial's number of trials.

    TypeError for a distribution without a row here: the functions of this package take families of yours as they are.
    """
    check_distribution("q", q)
    if type(q) not in FAMILIES:
        known = ", ".join(kind.__name__ for kind in FAMILIES)
        raise TypeError(
            f"expected q, a member of an exponential family, got {type(q).__name__}: one of {known}, "
            "or pass an ExponentialFamily of your own to the functions that take one"
        )
    return FAMILIES[type(q)](q)

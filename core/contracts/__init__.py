"""Protocols of distributions, flows, bounds, gradient estimators, evidence and latent-variable models.

Parameters are positional-only. A class of yours fulfils a Protocol by having its methods, and inherits nothing; the
type checker holds the library's to them, and `jensen.laws` tests yours. Optional methods are capabilities: Protocols
that extend another, which `can` finds.

Axes: s samples first, then n data, then event axes. Every density, KL, entropy and bound is in nats per datum.
"""

from jensen.core.contracts.capability import (
    can,
)
from jensen.core.contracts.distributions import (
    Cdf,
    Characteristic,
    Chernoff,
    ClosedForm,
    Constrained,
    Dimensional,
    Discrete,
    Distribution,
    Drawable,
    Enumerable,
    Marginal,
    MeasureValued,
    MomentGenerating,
    OnePass,
    Relaxable,
    Scored,
    Temperable,
    Transportable,
    WeakDerivative,
)
from jensen.core.contracts.estimation import (
    Bound,
    Derivatives,
    Estimate,
    GradientEstimator,
    Sided,
)
from jensen.core.contracts.flows import (
    Bijection,
    Flow,
    Normalising,
    PushesScore,
)
from jensen.core.contracts.models import (
    Amortised,
    DensityModel,
    LatentModel,
)
from jensen.core.contracts.types import (
    Event,
    Key,
    LogDensity,
    Noise,
)

__all__ = [
    "Amortised",
    "Bijection",
    "Bound",
    "Cdf",
    "Characteristic",
    "Chernoff",
    "ClosedForm",
    "Constrained",
    "DensityModel",
    "Derivatives",
    "Dimensional",
    "Discrete",
    "Distribution",
    "Drawable",
    "Enumerable",
    "Estimate",
    "Event",
    "Flow",
    "GradientEstimator",
    "Key",
    "LatentModel",
    "LogDensity",
    "Marginal",
    "MeasureValued",
    "MomentGenerating",
    "Noise",
    "Normalising",
    "OnePass",
    "PushesScore",
    "Relaxable",
    "Scored",
    "Sided",
    "Temperable",
    "Transportable",
    "WeakDerivative",
    "can",
]

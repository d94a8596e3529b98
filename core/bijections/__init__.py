"""Bijections of R^m onto constrained sets as values: `Bijection`s of `contracts`, which are flows without parameters.

    value, log_det = bijections.Positive().forward(z)     # z (..., d) of all real numbers
    z, minus_log_det = bijections.Positive().inverse(value)

A log density of constrained values becomes one of real numbers by `unconstrained(log_p, bijection)`; the distribution
of a bijection's values is `Pushforward(base, (bijection,))`.
"""

from jensen.core.bijections.between import Between
from jensen.core.bijections.composed import Composed
from jensen.core.bijections.concatenated import Concatenated
from jensen.core.bijections.correlation import CorrelationCholesky
from jensen.core.bijections.densities import unconstrained
from jensen.core.bijections.elementwise import Above, Interval, Positive, Real, UnitInterval
from jensen.core.bijections.named import Named
from jensen.core.bijections.ordered import Ordered
from jensen.core.bijections.positive_definite import PositiveDefinite
from jensen.core.bijections.simplex import Simplex
from jensen.core.bijections.stereographic import Stereographic

__all__ = [
    "Above",
    "Between",
    "Composed",
    "Concatenated",
    "CorrelationCholesky",
    "Interval",
    "Named",
    "Ordered",
    "Positive",
    "PositiveDefinite",
    "Real",
    "Simplex",
    "Stereographic",
    "UnitInterval",
    "unconstrained",
]

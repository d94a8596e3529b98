"""Bayesian models as values: named parameters with their supports, a log prior, and a log likelihood.

    model = Model({"rate": positive()}, log_prior, log_likelihood)  # theta (s, n), data -> (s, n), (s, n, b)
    posterior = condition(model, {"y": y})      # a log density: posterior(z), (s, n, d) of real numbers -> (s, n)
    check(posterior, key)                       # ValueError that names the parameter that nothing can be inferred of

    posterior.d, posterior.names                # how many real numbers, and of which parameters
    posterior.start, posterior.starts(key, n)   # (1, d), (n, d)
    posterior.constrained(z)                    # {"rate": (..., *shape)}; `unconstrained` is its inverse
    posterior.flat(z), posterior.flat_names     # (..., k) and their names, such as "theta[3]", for tables
    posterior.prior()                           # of z: smc(posterior, posterior.prior(), key, k)
    posterior.minibatch(index)                  # an unbiased estimate of the density, scaled for local parameters too

Data are dicts of tensors, with n = 1 row of z for the whole set. Ready models are functions of their sizes.
"""

from jensen.core.models.bayes import columns, densities, linear, schools
from jensen.core.models.bayes._check import check
from jensen.core.models.bayes.columns import Column
from jensen.core.models.bayes.linear import linear_regression
from jensen.core.models.bayes.model import Data, Model, Theta
from jensen.core.models.bayes.posterior import Posterior, Prior, condition
from jensen.core.models.bayes.schools import eight_schools
from jensen.core.models.bayes.supports import (
    Support,
    above,
    between,
    correlation_cholesky,
    ordered,
    positive,
    positive_definite,
    real,
    simplex,
    unit_interval,
)

__all__ = [
    "Column",
    "Data",
    "Model",
    "Posterior",
    "Prior",
    "Support",
    "Theta",
    "above",
    "between",
    "check",
    "columns",
    "condition",
    "correlation_cholesky",
    "densities",
    "eight_schools",
    "linear",
    "linear_regression",
    "ordered",
    "positive",
    "positive_definite",
    "real",
    "schools",
    "simplex",
    "unit_interval",
]

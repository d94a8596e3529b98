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

Data are dicts of tensors, with n = 1 row of z for the whole set. Ready models are functions of their sizes, one file
each with the formula, the parameters and the data at its top.
"""

from jensen.core.models.bayes import columns, densities, draws
from jensen.core.models.bayes._check import check
from jensen.core.models.bayes.autoregression import arma, autoregression
from jensen.core.models.bayes.columns import Column
from jensen.core.models.bayes.hierarchical import hierarchical_regression
from jensen.core.models.bayes.horseshoe import horseshoe_regression
from jensen.core.models.bayes.linear import ExactRegression, exact_regression, linear_regression
from jensen.core.models.bayes.logistic import logistic_regression
from jensen.core.models.bayes.mixture import gaussian_mixture
from jensen.core.models.bayes.model import Data, Model, Theta
from jensen.core.models.bayes.network import bayesian_network
from jensen.core.models.bayes.noisy import noisy_regression, robust_regression
from jensen.core.models.bayes.posterior import Posterior, Prior, condition
from jensen.core.models.bayes.process import gaussian_process
from jensen.core.models.bayes.response import item_response
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
from jensen.core.models.bayes.volatility import garch, stochastic_volatility

__all__ = [
    "Column",
    "Data",
    "ExactRegression",
    "Model",
    "Posterior",
    "Prior",
    "Support",
    "Theta",
    "above",
    "arma",
    "autoregression",
    "bayesian_network",
    "between",
    "check",
    "columns",
    "condition",
    "correlation_cholesky",
    "densities",
    "draws",
    "eight_schools",
    "exact_regression",
    "garch",
    "gaussian_mixture",
    "gaussian_process",
    "hierarchical_regression",
    "horseshoe_regression",
    "item_response",
    "linear_regression",
    "logistic_regression",
    "noisy_regression",
    "ordered",
    "positive",
    "positive_definite",
    "real",
    "robust_regression",
    "simplex",
    "stochastic_volatility",
    "unit_interval",
]

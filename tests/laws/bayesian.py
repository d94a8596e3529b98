"""Posteriors of the library's Bayesian models given simulated data, which the laws run over: one row per model."""

import torch
from torch import Tensor

from jensen.core import keys
from jensen.core.models import bayes
from jensen.core.models.bayes import Model, Posterior, condition

N, P = 8, 2
X = keys.normal(keys.key(61), (N, P), torch.float64)
ONES = torch.ones(N, dtype=torch.float64)
COVARIATES = {"x": X, "y": ONES}
GROUPS = {"x": X[:, 0], "y": ONES, "group": torch.arange(N) % 3}
SERIES = {"y": torch.ones(12, dtype=torch.float64)}


def posterior(model: Model, data: dict[str, Tensor], seed: int = 0) -> Posterior:
    """Given data simulated at parameters near z = 0, with the covariates of the data."""
    key, start = keys.split(keys.key(seed))
    before = condition(model, data)
    theta = before.constrained(0.3 * before.starts(start, 1)[0])
    assert model.simulate is not None
    return condition(model, model.simulate(key, theta, data))


POSTERIORS = {
    "linear regression": posterior(bayes.linear_regression(P), COVARIATES),
    "noisy regression": posterior(bayes.noisy_regression(P), COVARIATES),
    "flat regression": posterior(bayes.noisy_regression(P, float("inf")), COVARIATES),
    "robust regression": posterior(bayes.robust_regression(P), COVARIATES),
    "logistic regression": posterior(bayes.logistic_regression(P), COVARIATES),
    "horseshoe regression": posterior(bayes.horseshoe_regression(P), COVARIATES),
    "hierarchical regression": posterior(bayes.hierarchical_regression(3), GROUPS),
    "hierarchical regression, centred": posterior(bayes.hierarchical_regression(3, centred=True), GROUPS),
    "eight schools": posterior(bayes.eight_schools(), {"y": ONES, "sigma": 10 + X[:, 0]}),
    "eight schools, centred": posterior(bayes.eight_schools(centred=True), {"y": ONES, "sigma": 10 + X[:, 0]}),
    "Gaussian mixture": posterior(bayes.gaussian_mixture(3), {"y": ONES[:, None]}),
    "Gaussian mixture, d = 3": posterior(bayes.gaussian_mixture(2, 3), {"y": X[:, :1].expand(N, 3)}),
    "autoregression": posterior(bayes.autoregression(2), SERIES),
    "arma": posterior(bayes.arma(), SERIES),
    "garch": posterior(bayes.garch(), {**SERIES, "sigma0": torch.tensor(1.5, dtype=torch.float64)}),
    "stochastic volatility": posterior(bayes.stochastic_volatility(12), SERIES),
    "Gaussian process": posterior(bayes.gaussian_process(P), COVARIATES),
    "item response": posterior(bayes.item_response(6, 3), {"y": torch.ones(6, 3, dtype=torch.float64)}),
    "Bayesian network": posterior(bayes.bayesian_network(P, 4), COVARIATES),
}

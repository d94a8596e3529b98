"""Logistic regression.

    y_i ~ Bernoulli(sigmoid(x_i weights)),  weights ~ N(0, scale)

Parameters  weights (p,)
Data        x (n, p), with a column of ones for an intercept; y (n,) of 0 and 1
Reference   Bishop, 2006, section 4.5
"""

from functools import partial

from torch import Tensor

from jensen.core.checks import check_count, check_number
from jensen.core.contracts import Key
from jensen.core.models.bayes import columns, densities, draws
from jensen.core.models.bayes.model import Data, Model, Theta
from jensen.core.models.bayes.supports import real


def logistic_regression(p: int, scale: float = 1.0) -> Model:
    """The model of p covariates."""
    p, scale = check_count("p", p), check_number("scale", scale, "(0, inf)")
    return Model(
        support={"weights": real(p)},
        log_prior=partial(_log_prior, scale=scale),
        log_likelihood=_log_likelihood,
        draw=partial(_draw, p=p, scale=scale),
        simulate=simulate,
        columns={"x": columns.real(f"n {p}"), "y": columns.binary()},
        name="logistic regression",
    )


def simulate(key: Key, theta: Theta, data: Data) -> dict[str, Tensor]:
    """Responses at the covariates x of the data."""
    logits = data["x"] @ theta["weights"]
    return {**data, "y": draws.bernoulli(key, logits).to(data["y"].dtype)}


def _log_prior(theta: Theta, scale: float) -> Tensor:
    return densities.normal(theta["weights"], 0.0, scale).sum(-1)


def _log_likelihood(theta: Theta, data: Data) -> Tensor:
    return densities.bernoulli(data["y"], theta["weights"] @ data["x"].mT)


def _draw(key: Key, s: int, p: int, scale: float) -> Theta:
    return {"weights": draws.normal(key, (s, 1, p), 0.0, scale)}

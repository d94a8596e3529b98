"""Linear regression with known noise, whose posterior and evidence are known exactly.

    y_i ~ N(x_i weights, sigma),  weights ~ N(0, scale)

Parameters  weights (p,)
Data        x (n, p), with a column of ones for an intercept; y (n,)
Reference   Bishop, 2006, section 3.3
"""

import math
from functools import partial
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from jensen.core import keys
from jensen.core.checks import check_count, check_number
from jensen.core.contracts import Key
from jensen.core.models.bayes import columns, densities, draws
from jensen.core.models.bayes.columns import check_data, number
from jensen.core.models.bayes.model import Data, Model, Theta
from jensen.core.models.bayes.supports import real


class ExactRegression(NamedTuple):
    """log p(y) in nats, and the posterior N(mean, covariance) of the weights."""

    log_evidence: Float[Tensor, ""]
    mean: Float[Tensor, " p"]
    covariance: Float[Tensor, "p p"]


def linear_regression(p: int, sigma: float = 1.0, scale: float = 1.0) -> Model:
    """The model of p covariates."""
    p = check_count("p", p)
    sigma, scale = check_number("sigma", sigma, "(0, inf)"), check_number("scale", scale, "(0, inf)")
    return Model(
        support={"weights": real(p)},
        log_prior=partial(_log_prior, scale=scale),
        log_likelihood=partial(_log_likelihood, sigma=sigma),
        draw=partial(_draw, p=p, scale=scale),
        simulate=partial(simulate, sigma=sigma),
        columns={"x": columns.real(f"n {p}"), "y": columns.real()},
        name="linear regression",
    )


def exact_regression(data: Data, sigma: float = 1.0, scale: float = 1.0) -> ExactRegression:
    """The posterior and evidence of `linear_regression` by completing the square, in float64."""
    check_data(data, {"x": columns.real("n p"), "y": columns.real()})
    sigma, scale = check_number("sigma", sigma, "(0, inf)"), check_number("scale", scale, "(0, inf)")
    number(data, {})
    x, y = data["x"].double(), data["y"].double()
    n, p = x.shape
    precision = torch.eye(p, dtype=x.dtype, device=x.device) / scale**2 + x.mT @ x / sigma**2
    factor = torch.linalg.cholesky(precision)
    mean = torch.cholesky_solve((x.mT @ y / sigma**2)[:, None], factor)[:, 0]
    misfit = (y - x @ mean).square().sum() / sigma**2 + mean.square().sum() / scale**2
    log_det = 2 * factor.diagonal().log().sum() + 2 * p * math.log(scale) + 2 * n * math.log(sigma)
    log_evidence = -0.5 * (misfit + log_det + n * math.log(2 * math.pi))
    return ExactRegression(log_evidence, mean, torch.cholesky_inverse(factor))


def simulate(key: Key, theta: Theta, data: Data, sigma: float = 1.0) -> dict[str, Tensor]:
    """Responses at the covariates x of the data."""
    mean = data["x"] @ theta["weights"]
    return {**data, "y": mean + sigma * keys.normal(key, tuple(mean.shape), mean.dtype)}


def _log_prior(theta: Theta, scale: float) -> Tensor:
    return densities.normal(theta["weights"], 0.0, scale).sum(-1)


def _log_likelihood(theta: Theta, data: Data, sigma: float) -> Tensor:
    return densities.normal(data["y"], theta["weights"] @ data["x"].mT, sigma)


def _draw(key: Key, s: int, p: int, scale: float) -> Theta:
    return {"weights": draws.normal(key, (s, 1, p), 0.0, scale)}

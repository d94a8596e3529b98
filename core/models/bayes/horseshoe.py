"""Linear regression with a horseshoe prior: most weights near 0, some as large as the data have them.

    y_i ~ N(x_i weights, sigma),  weights_j = tau lambda_j raw_j,  raw_j ~ N(0, 1)
    lambda_j ~ half-Cauchy(1),  tau ~ half-Cauchy(scale),  sigma ~ half-normal(2)

Parameters  raw (p,), lambda (p,) > 0, tau > 0, sigma > 0; weights (p,) derived
Data        x (n, p), y (n,)
Reference   Carvalho, Polson and Scott, 2010
"""

from functools import partial

from torch import Tensor

from jensen.core import keys
from jensen.core.checks import check_count, check_number
from jensen.core.contracts import Key
from jensen.core.models.bayes import columns, densities, draws
from jensen.core.models.bayes.model import Data, Model, Theta
from jensen.core.models.bayes.supports import positive, real

NOISE = 2.0


def horseshoe_regression(p: int, scale: float = 1.0) -> Model:
    """The model of p covariates; a smaller scale leaves fewer weights away from 0."""
    p, scale = check_count("p", p), check_number("scale", scale, "(0, inf)")
    return Model(
        support={"raw": real(p), "lambda": positive(p), "tau": positive(), "sigma": positive()},
        log_prior=partial(_log_prior, scale=scale),
        log_likelihood=_log_likelihood,
        draw=partial(_draw, p=p, scale=scale),
        simulate=simulate,
        derived=_derived,
        columns={"x": columns.real(f"n {p}"), "y": columns.real()},
        name="horseshoe regression",
    )


def simulate(key: Key, theta: Theta, data: Data) -> dict[str, Tensor]:
    """Responses at the covariates x of the data."""
    mean = data["x"] @ _weights(theta)
    return {**data, "y": mean + theta["sigma"] * keys.normal(key, tuple(mean.shape), mean.dtype)}


def _log_prior(theta: Theta, scale: float) -> Tensor:
    each = densities.normal(theta["raw"]) + densities.half_cauchy(theta["lambda"])
    return each.sum(-1) + densities.half_cauchy(theta["tau"], scale) + densities.half_normal(theta["sigma"], NOISE)


def _log_likelihood(theta: Theta, data: Data) -> Tensor:
    return densities.normal(data["y"], _weights(theta) @ data["x"].mT, theta["sigma"][..., None])


def _weights(theta: Theta) -> Tensor:
    return theta["tau"][..., None] * theta["lambda"] * theta["raw"]


def _derived(theta: Theta) -> Theta:
    return {"weights": _weights(theta)}


def _draw(key: Key, s: int, p: int, scale: float) -> Theta:
    raw_key, lambda_key, tau_key, sigma_key = keys.split(key, 4)
    return {
        "raw": draws.normal(raw_key, (s, 1, p)),
        "lambda": draws.half_cauchy(lambda_key, (s, 1, p), 1.0),
        "tau": draws.half_cauchy(tau_key, (s, 1), scale),
        "sigma": draws.half_normal(sigma_key, (s, 1), NOISE),
    }

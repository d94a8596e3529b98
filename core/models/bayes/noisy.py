"""Linear regression with noise of unknown scale: normal, or Student's t, which outliers do not sway.

    y_i ~ N(x_i weights, sigma)  or  y_i ~ t_df(x_i weights, sigma),  weights ~ N(0, scale),  sigma ~ half-Cauchy(noise)

Parameters  weights (p,), flat where the scale is inf; sigma > 0; for Student's t also df > 0 ~ Gamma(2, 0.1)
Data        x (n, p), with a column of ones for an intercept; y (n,)
Reference   Gelman and Hill, 2007, chapter 3, whose children's scores are noisy_regression(2, math.inf); Juarez and
            Steel, 2010, for the prior of df
"""

import math
from functools import partial

from torch import Tensor

from jensen.core import keys
from jensen.core.checks import check_count, check_number
from jensen.core.contracts import Key
from jensen.core.models.bayes import columns, densities, draws
from jensen.core.models.bayes.model import Data, Model, Theta
from jensen.core.models.bayes.supports import positive, real

SHAPE, RATE = 2.0, 0.1  # of the prior of df


def noisy_regression(p: int, scale: float = 10.0, noise: float = 2.5) -> Model:
    """The model of p covariates with normal noise; without draws of the prior where the scale is inf."""
    return _model("regression with unknown noise", False, p, scale, noise)


def robust_regression(p: int, scale: float = 10.0, noise: float = 2.5) -> Model:
    """The model of p covariates with noise of Student's t; without draws of the prior where the scale is inf."""
    return _model("robust regression", True, p, scale, noise)


def simulate(key: Key, theta: Theta, data: Data) -> dict[str, Tensor]:
    """Responses at the covariates x of the data."""
    mean = data["x"] @ theta["weights"]
    if "df" in theta:
        noise = draws.student_t(key, tuple(mean.shape), theta["df"]).to(mean.dtype)
    else:
        noise = keys.normal(key, tuple(mean.shape), mean.dtype)
    return {**data, "y": mean + theta["sigma"] * noise}


def _model(name: str, robust: bool, p: int, scale: float, noise: float) -> Model:
    p, scale = check_count("p", p), check_number("scale", scale, "(0, inf]")
    noise = check_number("noise", noise, "(0, inf)")
    support = {"weights": real(p), "sigma": positive()}
    return Model(
        support={**support, "df": positive()} if robust else support,
        log_prior=partial(_log_prior, scale=scale, noise=noise),
        log_likelihood=_log_likelihood,
        draw=None if math.isinf(scale) else partial(_draw, robust=robust, p=p, scale=scale, noise=noise),
        simulate=simulate,
        columns={"x": columns.real(f"n {p}"), "y": columns.real()},
        name=name,
    )


def _log_prior(theta: Theta, scale: float, noise: float) -> Tensor:
    log_p = densities.half_cauchy(theta["sigma"], noise)
    if not math.isinf(scale):
        log_p = log_p + densities.normal(theta["weights"], 0.0, scale).sum(-1)
    return log_p + densities.gamma(theta["df"], SHAPE, RATE) if "df" in theta else log_p


def _log_likelihood(theta: Theta, data: Data) -> Tensor:
    mean, sigma = theta["weights"] @ data["x"].mT, theta["sigma"][..., None]
    if "df" in theta:
        return densities.student_t(data["y"], theta["df"][..., None], mean, sigma)
    return densities.normal(data["y"], mean, sigma)


def _draw(key: Key, s: int, robust: bool, p: int, scale: float, noise: float) -> Theta:
    weights_key, sigma_key, df_key = keys.split(key, 3)
    theta = {
        "weights": draws.normal(weights_key, (s, 1, p), 0.0, scale),
        "sigma": draws.half_cauchy(sigma_key, (s, 1), noise),
    }
    return {**theta, "df": draws.gamma(df_key, (s, 1), SHAPE, RATE)} if robust else theta

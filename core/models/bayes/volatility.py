"""Series whose noise changes its scale: GARCH(1, 1) and stochastic volatility.

    GARCH(1, 1)    y_t ~ N(mu, sigma_t),  sigma_t^2 = alpha0 + alpha1 (y_{t-1} - mu)^2 + beta1 sigma_{t-1}^2
                   mu ~ N(0, 10),  alpha0 ~ half-Cauchy(2.5),  (alpha1, beta1) uniform on alpha1 + beta1 < 1
    stochastic     y_t ~ N(0, e^(h_t / 2)),  h_t = mu + phi (h_{t-1} - mu) + sigma raw_t,  raw_t ~ N(0, 1)
    volatility     h_0 = mu + sigma raw_0 / sqrt(1 - phi^2),  mu ~ N(0, 10),  (phi + 1) / 2 ~ Beta(20, 1.5),
                   sigma ~ half-normal(1)

Parameters  mu, alpha0 > 0, shares (3,) of a simplex, of which alpha1 and beta1 are derived; or mu, -1 < phi < 1,
            sigma > 0, raw (t,), of which the log variances h (t,) are derived
Data        y (n,), a series, whose values depend on those before: no minibatches; for GARCH also sigma0, that of y_0
Reference   Bollerslev, 1986; Kim, Shephard and Chib, 1998
"""

import math
from functools import partial

import torch
from torch import Tensor

from jensen.core import keys
from jensen.core.checks import check_count
from jensen.core.contracts import Key
from jensen.core.models.bayes import columns, densities, draws
from jensen.core.models.bayes.model import Data, Model, Theta
from jensen.core.models.bayes.recurrences import linear_recurrence
from jensen.core.models.bayes.supports import between, positive, real, simplex

WIDE, NOISE = 10.0, 2.5
HIGH, LOW = 20.0, 1.5  # of the Beta prior of (phi + 1) / 2


def garch() -> Model:
    """The GARCH(1, 1) model."""
    return Model(
        support={"mu": real(), "alpha0": positive(), "shares": simplex(3)},
        log_prior=_log_prior_of_garch,
        log_likelihood=_log_likelihood_of_garch,
        draw=_draw_of_garch,
        simulate=simulate_garch,
        derived=_derived_of_garch,
        columns={"y": columns.real(), "sigma0": columns.positive("")},
        joint=True,
        name="GARCH(1, 1)",
    )


def stochastic_volatility(length: int) -> Model:
    """The model of a series of a length."""
    length = check_count("length", length)
    return Model(
        support={"mu": real(), "phi": between(-1.0, 1.0), "sigma": positive(), "raw": real(length)},
        log_prior=_log_prior,
        log_likelihood=_log_likelihood,
        draw=partial(_draw, length=length),
        simulate=simulate_volatility,
        derived=_derived,
        columns={"y": columns.real(rows=length)},
        joint=True,
        name="stochastic volatility",
    )


def simulate_garch(key: Key, theta: Theta, data: Data) -> dict[str, Tensor]:
    """A series as long as that of the data, from the same sigma0."""
    noise = keys.normal(key, (len(data["y"]),), data["y"].dtype)
    alpha1, beta1, _ = theta["shares"].unbind(-1)
    variance, y = data["sigma0"].square(), []
    for e in noise:
        y.append(theta["mu"] + variance.sqrt() * e)
        variance = theta["alpha0"] + alpha1 * (y[-1] - theta["mu"]).square() + beta1 * variance
    return {**data, "y": torch.stack(y)}


def simulate_volatility(key: Key, theta: Theta, data: Data) -> dict[str, Tensor]:
    """A series given its log variances."""
    noise = keys.normal(key, (len(data["y"]),), data["y"].dtype)
    return {"y": torch.exp(0.5 * _log_variances(theta)) * noise}


def _log_prior_of_garch(theta: Theta) -> Tensor:
    log_p = densities.normal(theta["mu"], 0.0, WIDE) + densities.half_cauchy(theta["alpha0"], NOISE)
    return log_p + math.log(2)  # of the uniform density on the simplex


def _log_likelihood_of_garch(theta: Theta, data: Data) -> Tensor:
    alpha1, beta1, _ = theta["shares"].unbind(-1)
    error = data["y"] - theta["mu"][..., None]
    first = data["sigma0"].square().expand(*error.shape[:-1], 1)
    rise = theta["alpha0"][..., None] + alpha1[..., None] * error[..., :-1].square()
    variance = linear_recurrence(torch.cat([first, rise], -1), beta1)
    return densities.normal(error, 0.0, variance.sqrt())


def _derived_of_garch(theta: Theta) -> Theta:
    return {"alpha1": theta["shares"][..., 0], "beta1": theta["shares"][..., 1]}


def _draw_of_garch(key: Key, s: int) -> Theta:
    mu_key, alpha_key, shares_key = keys.split(key, 3)
    gaps = draws.exponential(shares_key, (s, 1, 3), 1.0)
    return {
        "mu": draws.normal(mu_key, (s, 1), 0.0, WIDE),
        "alpha0": draws.half_cauchy(alpha_key, (s, 1), NOISE),
        "shares": gaps / gaps.sum(-1, keepdim=True),
    }


def _log_prior(theta: Theta) -> Tensor:
    phi = densities.beta((theta["phi"] + 1) / 2, HIGH, LOW) - math.log(2)
    log_p = densities.normal(theta["mu"], 0.0, WIDE) + densities.half_normal(theta["sigma"]) + phi
    return log_p + densities.normal(theta["raw"]).sum(-1)


def _log_likelihood(theta: Theta, data: Data) -> Tensor:
    return densities.normal(data["y"], 0.0, torch.exp(0.5 * _log_variances(theta)))


def _log_variances(theta: Theta) -> Tensor:
    phi, sigma, raw = theta["phi"][..., None], theta["sigma"][..., None], theta["raw"]
    first = raw[..., :1] * torch.rsqrt((1 - phi) * (1 + phi))
    return theta["mu"][..., None] + linear_recurrence(sigma * torch.cat([first, raw[..., 1:]], -1), theta["phi"])


def _derived(theta: Theta) -> Theta:
    return {"h": _log_variances(theta)}


def _draw(key: Key, s: int, length: int) -> Theta:
    mu_key, phi_key, sigma_key, raw_key = keys.split(key, 4)
    return {
        "mu": draws.normal(mu_key, (s, 1), 0.0, WIDE),
        "phi": 2 * draws.beta(phi_key, (s, 1), HIGH, LOW) - 1,
        "sigma": draws.half_normal(sigma_key, (s, 1)),
        "raw": draws.normal(raw_key, (s, 1, length)),
    }

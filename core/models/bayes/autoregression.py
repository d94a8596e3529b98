"""Autoregressive series of K lags, and ARMA(1, 1).

    AR(K)         y_t ~ N(mu + sum_k phi_k y_{t-k}, sigma),  mu, phi_k ~ N(0, 10),  given the first K values
    ARMA(1, 1)    y_t = mu + phi y_{t-1} + theta e_{t-1} + e_t,  e_t ~ N(0, sigma),  e_0 = y_0 - mu (1 + phi)
                  mu ~ N(0, 10),  phi, theta ~ N(0, 2)
    of both       sigma ~ half-Cauchy(2.5)

Parameters  mu, phi (k,) or phi and theta, sigma > 0
Data        y (n,), a series, whose values depend on those before: no minibatches
Reference   Box and Jenkins, 1970; Stan's user's guide, on time series
"""

from functools import partial

import torch
from torch import Tensor
from torch.nn import functional as F

from jensen.core import keys
from jensen.core.checks import check_count
from jensen.core.contracts import Key
from jensen.core.models.bayes import columns, densities, draws
from jensen.core.models.bayes.model import Data, Model, Theta
from jensen.core.models.bayes.recurrences import linear_recurrence
from jensen.core.models.bayes.supports import positive, real

WIDE, LAG, NOISE = 10.0, 2.0, 2.5


def autoregression(lags: int) -> Model:
    """The AR(K) model of so many lags."""
    lags = check_count("lags", lags)
    return Model(
        support={"mu": real(), "phi": real(lags), "sigma": positive()},
        log_prior=_log_prior_of_lags,
        log_likelihood=partial(_log_likelihood_of_lags, lags=lags),
        draw=partial(_draw_of_lags, lags=lags),
        simulate=partial(simulate_autoregression, lags=lags),
        columns={"y": columns.real()},
        joint=True,
        name=f"AR({lags})",
    )


def arma() -> Model:
    """The ARMA(1, 1) model."""
    return Model(
        support={"mu": real(), "phi": real(), "theta": real(), "sigma": positive()},
        log_prior=_log_prior,
        log_likelihood=_log_likelihood,
        draw=_draw,
        simulate=simulate_arma,
        columns={"y": columns.real()},
        joint=True,
        name="ARMA(1, 1)",
    )


def simulate_autoregression(key: Key, theta: Theta, data: Data, lags: int) -> dict[str, Tensor]:
    """A series as long as that of the data, which starts with its first K values."""
    noise = keys.normal(key, (len(data["y"]),), data["y"].dtype)
    y = list(data["y"][:lags].unbind())
    for t in range(lags, len(data["y"])):
        past = torch.stack(y[t - lags : t][::-1])
        y.append(theta["mu"] + (theta["phi"] * past).sum(-1) + theta["sigma"] * noise[t])
    return {"y": torch.stack(y)}


def simulate_arma(key: Key, theta: Theta, data: Data) -> dict[str, Tensor]:
    """A series as long as that of the data."""
    e = theta["sigma"] * keys.normal(key, (len(data["y"]),), data["y"].dtype)
    u = theta["mu"] + e + theta["theta"] * F.pad(e, (1, -1))
    start = theta["mu"] * theta["phi"]  # y_0 = mu (1 + phi) + e_0
    return {"y": linear_recurrence(torch.cat([u[:1] + start, u[1:]]), theta["phi"])}


def _log_prior_of_lags(theta: Theta) -> Tensor:
    lags = densities.normal(theta["phi"], 0.0, WIDE).sum(-1)
    return lags + densities.normal(theta["mu"], 0.0, WIDE) + densities.half_cauchy(theta["sigma"], NOISE)


def _log_likelihood_of_lags(theta: Theta, data: Data, lags: int) -> Tensor:
    y = data["y"]
    if len(y) <= lags:
        raise ValueError(f"expected data['y'] with more values than {lags} lags, got {len(y)}: take fewer lags")
    past = torch.stack([y[lags - k : len(y) - k] for k in range(1, lags + 1)])  # (k, t)
    mean = theta["mu"][..., None] + theta["phi"] @ past
    return F.pad(densities.normal(y[lags:], mean, theta["sigma"][..., None]), (lags, 0))


def _draw_of_lags(key: Key, s: int, lags: int) -> Theta:
    mu_key, phi_key, sigma_key = keys.split(key, 3)
    return {
        "mu": draws.normal(mu_key, (s, 1), 0.0, WIDE),
        "phi": draws.normal(phi_key, (s, 1, lags), 0.0, WIDE),
        "sigma": draws.half_cauchy(sigma_key, (s, 1), NOISE),
    }


def _log_prior(theta: Theta) -> Tensor:
    lags = densities.normal(theta["phi"], 0.0, LAG) + densities.normal(theta["theta"], 0.0, LAG)
    return lags + densities.normal(theta["mu"], 0.0, WIDE) + densities.half_cauchy(theta["sigma"], NOISE)


def _log_likelihood(theta: Theta, data: Data) -> Tensor:
    y, mu, phi = data["y"], theta["mu"][..., None], theta["phi"][..., None]
    before = torch.cat([mu.expand(*mu.shape[:-1], 1), y[:-1].expand(*mu.shape[:-1], -1)], -1)
    e = linear_recurrence(y - mu - phi * before, -theta["theta"])
    return densities.normal(e, 0.0, theta["sigma"][..., None])


def _draw(key: Key, s: int) -> Theta:
    mu_key, phi_key, theta_key, sigma_key = keys.split(key, 4)
    return {
        "mu": draws.normal(mu_key, (s, 1), 0.0, WIDE),
        "phi": draws.normal(phi_key, (s, 1), 0.0, LAG),
        "theta": draws.normal(theta_key, (s, 1), 0.0, LAG),
        "sigma": draws.half_cauchy(sigma_key, (s, 1), NOISE),
    }

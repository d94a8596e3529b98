"""A Bayesian neural network with one hidden layer, for regression.

    y_i ~ N(f(x_i), sigma),  f(x) = out . tanh(hidden x + bias) + offset,  sigma ~ half-normal(1)
    hidden_hp ~ N(0, 1 / sqrt(p)),  out_h ~ N(0, 1 / sqrt(h)),  bias_h, offset ~ N(0, 1)

Parameters  hidden (h, p), bias (h,), out (h,), offset, sigma > 0
Data        x (n, p), y (n,)
Reference   Neal, 1996, for the scales; Blundell et al., 2015, for its variational posterior
"""

from functools import partial

import torch
from torch import Tensor

from jensen.core import keys
from jensen.core.checks import check_count
from jensen.core.contracts import Key
from jensen.core.models.bayes import columns, densities, draws
from jensen.core.models.bayes.model import Data, Model, Theta
from jensen.core.models.bayes.supports import positive, real


def bayesian_network(p: int, hidden: int = 16) -> Model:
    """The model of p covariates and so many hidden units."""
    p, hidden = check_count("p", p), check_count("hidden", hidden)
    layer = {"hidden": real(hidden, p), "bias": real(hidden), "out": real(hidden), "offset": real()}
    return Model(
        support={**layer, "sigma": positive()},
        log_prior=_log_prior,
        log_likelihood=_log_likelihood,
        draw=partial(_draw, p=p, hidden=hidden),
        simulate=simulate,
        columns={"x": columns.real(f"n {p}"), "y": columns.real()},
        name="Bayesian neural network",
    )


def outputs(theta: Theta, x: Tensor) -> Tensor:
    """f(x) (..., n) of parameters (..., *shape) at covariates (n, p)."""
    hidden = torch.tanh(x @ theta["hidden"].mT + theta["bias"][..., None, :])
    return (hidden @ theta["out"][..., None])[..., 0] + theta["offset"][..., None]


def simulate(key: Key, theta: Theta, data: Data) -> dict[str, Tensor]:
    """Responses at the covariates x of the data."""
    mean = outputs(theta, data["x"])
    return {**data, "y": mean + theta["sigma"] * keys.normal(key, tuple(mean.shape), mean.dtype)}


def _log_prior(theta: Theta) -> Tensor:
    h, p = theta["hidden"].shape[-2:]
    log_p = densities.normal(theta["hidden"], 0.0, p**-0.5).sum((-2, -1)) + densities.normal(theta["bias"]).sum(-1)
    log_p = log_p + densities.normal(theta["out"], 0.0, h**-0.5).sum(-1) + densities.normal(theta["offset"])
    return log_p + densities.half_normal(theta["sigma"])


def _log_likelihood(theta: Theta, data: Data) -> Tensor:
    return densities.normal(data["y"], outputs(theta, data["x"]), theta["sigma"][..., None])


def _draw(key: Key, s: int, p: int, hidden: int) -> Theta:
    hidden_key, bias_key, out_key, offset_key, sigma_key = keys.split(key, 5)
    return {
        "hidden": draws.normal(hidden_key, (s, 1, hidden, p), 0.0, p**-0.5),
        "bias": draws.normal(bias_key, (s, 1, hidden)),
        "out": draws.normal(out_key, (s, 1, hidden), 0.0, hidden**-0.5),
        "offset": draws.normal(offset_key, (s, 1)),
        "sigma": draws.half_normal(sigma_key, (s, 1)),
    }

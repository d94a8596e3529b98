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


def prior_scales(p: int, hidden: int) -> dict[str, float]:
    """Standard deviations of the weights, by name: units of either layer are of size 1."""
    return {"hidden": p**-0.5, "bias": 1.0, "out": hidden**-0.5, "offset": 1.0}


def simulate(key: Key, theta: Theta, data: Data) -> dict[str, Tensor]:
    """Responses at the covariates x of the data."""
    mean = outputs(theta, data["x"])
    return {**data, "y": mean + theta["sigma"] * keys.normal(key, tuple(mean.shape), mean.dtype)}


def _log_prior(theta: Theta) -> Tensor:
    h, p = theta["hidden"].shape[-2:]
    each = {name: densities.normal(theta[name], 0.0, scale) for name, scale in prior_scales(p, h).items()}
    log_p = each["hidden"].sum((-2, -1)) + each["bias"].sum(-1) + each["out"].sum(-1) + each["offset"]
    return log_p + densities.half_normal(theta["sigma"])


def _log_likelihood(theta: Theta, data: Data) -> Tensor:
    return densities.normal(data["y"], outputs(theta, data["x"]), theta["sigma"][..., None])


def _draw(key: Key, s: int, p: int, hidden: int) -> Theta:
    *weight_keys, sigma_key = keys.split(key, 5)
    shapes, scales = ((hidden, p), (hidden,), (hidden,), ()), prior_scales(p, hidden)
    weights = zip(scales.items(), shapes, weight_keys, strict=True)
    theta = {name: draws.normal(each, (s, 1, *shape), 0.0, scale) for (name, scale), shape, each in weights}
    return {**theta, "sigma": draws.half_normal(sigma_key, (s, 1))}

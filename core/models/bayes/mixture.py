"""A mixture of normals on the line, with its components in order.

    y_i ~ sum_k weights_k N(loc_k, scale_k),  weights ~ Dirichlet(concentration)
    loc_1 < ... < loc_K, ordered draws of N(0, spread),  scale_k ~ half-normal(spread)

Parameters  weights (k,) of a simplex, loc (k,) ordered, scale (k,) > 0. Which component a datum is of is summed over
Data        y (n,)
Reference   Jasra, Holmes and Stephens, 2005, for the order
"""

import math
from functools import partial

import torch
from torch import Tensor

from jensen.core import keys
from jensen.core.checks import check_count, check_number
from jensen.core.contracts import Key
from jensen.core.models.bayes import columns, densities, draws
from jensen.core.models.bayes.model import Data, Model, Theta
from jensen.core.models.bayes.supports import ordered, positive, simplex


def gaussian_mixture(k: int, spread: float = 2.0, concentration: float = 5.0) -> Model:
    """The model of k components, k >= 2."""
    k, spread = check_count("k", k, 2), check_number("spread", spread, "(0, inf)")
    prior = {"spread": spread, "concentration": check_number("concentration", concentration, "(0, inf)")}
    return Model(
        support={"weights": simplex(k), "loc": ordered(k), "scale": positive(k)},
        log_prior=partial(_log_prior, **prior),
        log_likelihood=_log_likelihood,
        draw=partial(_draw, k=k, **prior),
        simulate=simulate,
        columns={"y": columns.real()},
        name="Gaussian mixture",
    )


def simulate(key: Key, theta: Theta, data: Data) -> dict[str, Tensor]:
    """As many draws as the data have."""
    which_key, noise_key = keys.split(key)
    u = keys.uniform(which_key, tuple(data["y"].shape), data["y"].dtype)
    which = (u[:, None] > theta["weights"].cumsum(-1)[:-1]).sum(-1)
    noise = keys.normal(noise_key, tuple(data["y"].shape), data["y"].dtype)
    return {"y": theta["loc"][which] + theta["scale"][which] * noise}


def _log_prior(theta: Theta, spread: float, concentration: float) -> Tensor:
    k = theta["loc"].shape[-1]
    constant = math.lgamma(k * concentration) - k * math.lgamma(concentration) + math.lgamma(k + 1)  # k! orders
    each = (concentration - 1) * theta["weights"].log() + densities.normal(theta["loc"], 0.0, spread)
    return constant + (each + densities.half_normal(theta["scale"], spread)).sum(-1)


def _log_likelihood(theta: Theta, data: Data) -> Tensor:
    loc, scale = theta["loc"][..., None, :], theta["scale"][..., None, :]
    each = densities.normal(data["y"][:, None], loc, scale)
    return torch.logsumexp(each + theta["weights"].log()[..., None, :], -1)


def _draw(key: Key, s: int, k: int, spread: float, concentration: float) -> Theta:
    weights_key, loc_key, scale_key = keys.split(key, 3)
    return {
        "weights": draws.dirichlet(weights_key, (s, 1, k), concentration),
        "loc": draws.normal(loc_key, (s, 1, k), 0.0, spread).sort(-1).values,
        "scale": draws.half_normal(scale_key, (s, 1, k), spread),
    }

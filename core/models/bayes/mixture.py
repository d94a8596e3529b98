"""A mixture of normals in d dimensions, with its components in the order of their first coordinate.

    y_i ~ sum_k weights_k N(loc_k, S_k L_k L_k' S_k),  S_k = diag(scale_k),  weights ~ Dirichlet(concentration)
    loc_kj ~ N(0, spread), in order for j = 1,  scale_kj ~ half-normal(spread),  L_k L_k' ~ LKJ(2)

Parameters  weights (k,) of a simplex, first (k,) ordered, rest (k, d - 1), scale (k, d) > 0, and the correlations'
            Cholesky factors correlation (k, d, d), of which loc (k, d) is derived; without rest and correlation for
            d = 1. Which component a datum is of is summed over
Data        y (n, d)
Reference   Jasra, Holmes and Stephens, 2005, for the order; Lewandowski et al., 2009, for LKJ
"""

import math
from functools import partial

import torch
from torch import Tensor

from jensen.core import bijections, keys
from jensen.core.checks import check_count, check_number
from jensen.core.contracts import Key
from jensen.core.models.bayes import columns, densities, draws
from jensen.core.models.bayes.model import Data, Model, Theta
from jensen.core.models.bayes.supports import Support, ordered, positive, real, simplex
from jensen.core.numerics import log_sum_exp

LKJ = 2.0  # of the correlations' prior, whose density is det^(LKJ - 1)


def gaussian_mixture(k: int, d: int = 1, spread: float = 2.0, concentration: float = 5.0) -> Model:
    """The model of k components, k >= 2, of d coordinates."""
    k, d, spread = check_count("k", k, 2), check_count("d", d), check_number("spread", spread, "(0, inf)")
    prior = {"spread": spread, "concentration": check_number("concentration", concentration, "(0, inf)")}
    support = {"weights": simplex(k), "first": ordered(k), "scale": positive(k, d)}
    if d > 1:
        factors = Support(bijections.CorrelationCholesky, (k, d, d), event=2, free=d * (d - 1) // 2)
        support |= {"rest": real(k, d - 1), "correlation": factors}
    return Model(
        support=support,
        log_prior=partial(_log_prior, **prior),
        log_likelihood=_log_likelihood,
        draw=partial(_draw, k=k, d=d, **prior),
        simulate=simulate,
        derived=_derived,
        columns={"y": columns.real(f"n {d}")},
        name="Gaussian mixture",
    )


def simulate(key: Key, theta: Theta, data: Data) -> dict[str, Tensor]:
    """As many draws as the data have."""
    which_key, noise_key = keys.split(key)
    u = keys.uniform(which_key, tuple(data["y"].shape[:1]), data["y"].dtype)
    which = (u[:, None] > theta["weights"].cumsum(-1)[:-1]).sum(-1)
    noise = keys.normal(noise_key, tuple(data["y"].shape), data["y"].dtype)
    if "correlation" in theta:
        noise = torch.einsum("nij,nj->ni", theta["correlation"][which], noise)
    return {"y": _loc(theta)[which] + theta["scale"][which] * noise}


def _log_prior(theta: Theta, spread: float, concentration: float) -> Tensor:
    k = theta["first"].shape[-1]
    constant = math.lgamma(k * concentration) - k * math.lgamma(concentration) + math.lgamma(k + 1)  # k! orders
    each = (concentration - 1) * theta["weights"].log() + densities.half_normal(theta["scale"], spread).sum(-1)
    each = each + densities.normal(_loc(theta), 0.0, spread).sum(-1)
    if "correlation" in theta:
        each = each + densities.lkj_cholesky(theta["correlation"], LKJ)
    return constant + each.sum(-1)


def _log_likelihood(theta: Theta, data: Data) -> Tensor:
    loc, scale = (t[..., None, :, :] for t in (_loc(theta), theta["scale"]))  # for each datum
    eps, log_det = (data["y"][:, None] - loc) / scale, scale.log().sum(-1)
    if "correlation" in theta:
        factor = theta["correlation"]
        eps = torch.linalg.solve_triangular(factor, eps.movedim(-3, -1), upper=False).movedim(-1, -3)
        log_det = log_det + factor.diagonal(dim1=-2, dim2=-1).log().sum(-1)[..., None, :]
    each = densities.normal(eps).sum(-1) - log_det
    return log_sum_exp(each + theta["weights"].log()[..., None, :], -1)


def _loc(theta: Theta) -> Tensor:
    first = theta["first"][..., None]
    return torch.cat([first, theta["rest"]], -1) if "rest" in theta else first


def _derived(theta: Theta) -> Theta:
    return {"loc": _loc(theta)}


def _draw(key: Key, s: int, k: int, d: int, spread: float, concentration: float) -> Theta:
    weights_key, loc_key, scale_key, rest_key, correlation_key = keys.split(key, 5)
    theta = {
        "weights": draws.dirichlet(weights_key, (s, 1, k), concentration),
        "first": draws.normal(loc_key, (s, 1, k), 0.0, spread).sort(-1).values,
        "scale": draws.half_normal(scale_key, (s, 1, k, d), spread),
    }
    if d > 1:
        theta["rest"] = draws.normal(rest_key, (s, 1, k, d - 1), 0.0, spread)
        theta["correlation"] = draws.lkj_cholesky(correlation_key, (s, 1, k, d, d), LKJ)
    return theta

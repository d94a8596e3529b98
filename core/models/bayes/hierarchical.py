"""Hierarchical linear regression: an intercept for each group, as for radon in the houses of counties.

    y_i ~ N(alpha_{group_i} + x_i slope, sigma),  alpha_j ~ N(mu, tau)
    mu ~ N(0, 10),  slope ~ N(0, 10),  tau ~ half-normal(1),  sigma ~ half-normal(1)

Parameters  mu, slope, tau > 0, sigma > 0, and alpha (j,) where centred; else alpha_raw (j,) ~ N(0, 1), with
            alpha = mu + tau alpha_raw derived. A datum is an observation, so that alpha is global
Data        x (n,), y (n,), group (n,) of whole numbers from 0
Reference   Gelman and Hill, 2007, chapter 12
"""

from functools import partial

from torch import Tensor

from jensen.core import keys
from jensen.core.checks import check_count
from jensen.core.contracts import Key
from jensen.core.models.bayes import columns, densities, draws
from jensen.core.models.bayes.model import Data, Model, Theta
from jensen.core.models.bayes.supports import positive, real

WIDE = 10.0


def hierarchical_regression(groups: int, centred: bool = False) -> Model:
    """The model of so many groups; where not centred, parameters that the prior leaves independent."""
    groups = check_count("groups", groups)
    effect = "alpha" if centred else "alpha_raw"
    return Model(
        support={"mu": real(), "slope": real(), "tau": positive(), "sigma": positive(), effect: real(groups)},
        log_prior=_log_prior,
        log_likelihood=_log_likelihood,
        draw=partial(_draw, groups=groups, centred=centred),
        simulate=simulate,
        derived=None if centred else _derived,
        columns={"x": columns.real(), "y": columns.real(), "group": columns.index("n", groups)},
        name="hierarchical regression, centred" if centred else "hierarchical regression",
    )


def simulate(key: Key, theta: Theta, data: Data) -> dict[str, Tensor]:
    """Responses at the covariates and groups of the data."""
    noise = keys.normal(key, tuple(data["x"].shape), data["x"].dtype)
    return {**data, "y": _mean(theta, data) + theta["sigma"] * noise}


def _log_prior(theta: Theta) -> Tensor:
    log_p = densities.normal(theta["mu"], 0.0, WIDE) + densities.normal(theta["slope"], 0.0, WIDE)
    log_p = log_p + densities.half_normal(theta["tau"]) + densities.half_normal(theta["sigma"])
    if "alpha" in theta:
        mu, tau = theta["mu"][..., None], theta["tau"][..., None]
        return log_p + densities.normal(theta["alpha"], mu, tau).sum(-1)
    return log_p + densities.normal(theta["alpha_raw"]).sum(-1)


def _log_likelihood(theta: Theta, data: Data) -> Tensor:
    return densities.normal(data["y"], _mean(theta, data), theta["sigma"][..., None])


def _mean(theta: Theta, data: Data) -> Tensor:
    return _intercepts(theta)[..., data["group"]] + theta["slope"][..., None] * data["x"]


def _intercepts(theta: Theta) -> Tensor:
    if "alpha" in theta:
        return theta["alpha"]
    return theta["mu"][..., None] + theta["tau"][..., None] * theta["alpha_raw"]


def _derived(theta: Theta) -> Theta:
    return {"alpha": _intercepts(theta)}


def _draw(key: Key, s: int, groups: int, centred: bool) -> Theta:
    mu_key, slope_key, tau_key, sigma_key, raw_key = keys.split(key, 5)
    theta = {
        "mu": draws.normal(mu_key, (s, 1), 0.0, WIDE),
        "slope": draws.normal(slope_key, (s, 1), 0.0, WIDE),
        "tau": draws.half_normal(tau_key, (s, 1)),
        "sigma": draws.half_normal(sigma_key, (s, 1)),
        "alpha_raw": draws.normal(raw_key, (s, 1, groups)),
    }
    if not centred:
        return theta
    intercepts = _intercepts(theta)
    return {name: t for name, t in theta.items() if name != "alpha_raw"} | {"alpha": intercepts}

"""Eight schools (Rubin, 1981): means of groups with known errors, and how far the groups differ.

    y_j ~ N(theta_j, sigma_j),  theta_j ~ N(mu, tau),  mu ~ N(0, 5),  tau ~ half-Cauchy(5)

Parameters  mu, tau > 0, and theta (j,) where centred; else theta_raw (j,) ~ N(0, 1), with theta = mu + tau theta_raw
            derived. theta is local: one row per school
Data        y (j,), sigma (j,) > 0
Reference   Rubin, 1981; Gelman et al., Bayesian Data Analysis, section 5.5
"""

from functools import partial

from torch import Tensor

from jensen.core import keys
from jensen.core.checks import check_count
from jensen.core.contracts import Key
from jensen.core.models.bayes import columns, densities, draws
from jensen.core.models.bayes.model import Data, Model, Theta
from jensen.core.models.bayes.supports import positive, real

SCALE = 5.0


def eight_schools(schools: int = 8, centred: bool = False) -> Model:
    """The model of so many schools; where not centred, parameters that the prior leaves independent."""
    schools = check_count("schools", schools)
    effect = "theta" if centred else "theta_raw"
    return Model(
        support={"mu": real(), "tau": positive(), effect: real(schools)},
        log_prior=_log_prior,
        log_likelihood=_log_likelihood,
        local=(effect,),
        log_local=_log_local,
        draw=partial(_draw, schools=schools, centred=centred),
        simulate=simulate,
        derived=None if centred else _derived,
        columns={"y": columns.real(), "sigma": columns.positive()},
        name="eight schools, centred" if centred else "eight schools",
    )


def simulate(key: Key, theta: Theta, data: Data) -> dict[str, Tensor]:
    """Means of schools with the errors sigma of the data."""
    noise = keys.normal(key, tuple(data["sigma"].shape), data["sigma"].dtype)
    return {**data, "y": _effects(theta) + data["sigma"] * noise}


def _log_prior(theta: Theta) -> Tensor:
    return densities.normal(theta["mu"], 0.0, SCALE) + densities.half_cauchy(theta["tau"], SCALE)


def _log_local(theta: Theta) -> Tensor:
    if "theta" in theta:
        return densities.normal(theta["theta"], theta["mu"][..., None], theta["tau"][..., None])
    return densities.normal(theta["theta_raw"])


def _log_likelihood(theta: Theta, data: Data) -> Tensor:
    return densities.normal(data["y"], _effects(theta), data["sigma"])


def _effects(theta: Theta) -> Tensor:
    if "theta" in theta:
        return theta["theta"]
    return theta["mu"][..., None] + theta["tau"][..., None] * theta["theta_raw"]


def _derived(theta: Theta) -> Theta:
    return {"theta": _effects(theta)}


def _draw(key: Key, s: int, schools: int, centred: bool) -> Theta:
    mu_key, tau_key, raw_key = keys.split(key, 3)
    theta = {
        "mu": draws.normal(mu_key, (s, 1), 0.0, SCALE),
        "tau": draws.half_cauchy(tau_key, (s, 1), SCALE),
        "theta_raw": draws.normal(raw_key, (s, 1, schools)),
    }
    return {"mu": theta["mu"], "tau": theta["tau"], "theta": _effects(theta)} if centred else theta

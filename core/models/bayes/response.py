"""Item response with two parameters an item (2PL): how able persons are, and what the items ask.

    y_ij ~ Bernoulli(sigmoid(a_j (theta_i - b_j))),  theta_i ~ N(0, 1)
    log a_j ~ N(0, sigma_a),  b_j ~ N(mu_b, sigma_b),  mu_b ~ N(0, 5),  sigma_a, sigma_b ~ half-Cauchy(2)

Parameters  mu_b, sigma_a > 0, sigma_b > 0, a (j,) > 0, b (j,), theta (i,), which is local: one row per person
Data        y (n, j) of 0 and 1, one row per person
Reference   Birnbaum, 1968; Gelman and Hill, 2007, section 14.3
"""

from functools import partial

from torch import Tensor

from jensen.core import keys
from jensen.core.checks import check_count
from jensen.core.contracts import Key
from jensen.core.models.bayes import columns, densities, draws
from jensen.core.models.bayes.model import Data, Model, Theta
from jensen.core.models.bayes.supports import positive, real

WIDE, SCALE = 5.0, 2.0


def item_response(persons: int, items: int) -> Model:
    """The model of so many persons who answer so many items."""
    persons, items = check_count("persons", persons), check_count("items", items)
    hyper = {"mu_b": real(), "sigma_a": positive(), "sigma_b": positive()}
    return Model(
        support={**hyper, "a": positive(items), "b": real(items), "theta": real(persons)},
        log_prior=_log_prior,
        log_likelihood=_log_likelihood,
        local=("theta",),
        log_local=_log_local,
        draw=partial(_draw, persons=persons, items=items),
        simulate=simulate,
        columns={"y": columns.binary(f"n {items}")},
        name="item response",
    )


def simulate(key: Key, theta: Theta, data: Data) -> dict[str, Tensor]:
    """Answers of the same persons to the same items."""
    return {"y": draws.bernoulli(key, _logits(theta)).to(data["y"].dtype)}


def _log_prior(theta: Theta) -> Tensor:
    log_a, scale_a, scale_b = theta["a"].log(), theta["sigma_a"][..., None], theta["sigma_b"][..., None]
    each = densities.normal(log_a, 0.0, scale_a) - log_a
    each = each + densities.normal(theta["b"], theta["mu_b"][..., None], scale_b)
    scales = densities.half_cauchy(theta["sigma_a"], SCALE) + densities.half_cauchy(theta["sigma_b"], SCALE)
    return each.sum(-1) + scales + densities.normal(theta["mu_b"], 0.0, WIDE)


def _log_local(theta: Theta) -> Tensor:
    return densities.normal(theta["theta"])


def _log_likelihood(theta: Theta, data: Data) -> Tensor:
    return densities.bernoulli(data["y"], _logits(theta)).sum(-1)


def _logits(theta: Theta) -> Tensor:
    return theta["a"][..., None, :] * (theta["theta"][..., None] - theta["b"][..., None, :])


def _draw(key: Key, s: int, persons: int, items: int) -> Theta:
    mu_key, scale_a_key, scale_b_key, a_key, b_key, theta_key = keys.split(key, 6)
    mu_b = draws.normal(mu_key, (s, 1), 0.0, WIDE)
    sigma_a, sigma_b = (draws.half_cauchy(each, (s, 1), SCALE) for each in (scale_a_key, scale_b_key))
    log_a = sigma_a[..., None] * draws.normal(a_key, (s, 1, items))
    return {
        "mu_b": mu_b,
        "sigma_a": sigma_a,
        "sigma_b": sigma_b,
        "a": log_a.clamp(-100, 100).exp(),
        "b": mu_b[..., None] + sigma_b[..., None] * draws.normal(b_key, (s, 1, items)),
        "theta": draws.normal(theta_key, (s, 1, persons)),
    }

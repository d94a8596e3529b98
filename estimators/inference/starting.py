"""What an algorithm asks of a log density and of its starts before it takes a step."""

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from jensen.core.checks import check_floating, check_function
from jensen.core.contracts import Key, LogDensity
from jensen.core.models.bayes import Posterior, check
from jensen.estimators.gradients.contract import density
from jensen.estimators.wording import listed


def check_log_p(log_p: LogDensity, key: Key) -> None:
    """ValueError that names the parameter of a `bayes.Posterior` that nothing can be inferred of: see `bayes.check`.

    Any other function is only looked at where it is evaluated, as lambda z: posterior(z) is.
    """
    check_function("log_p", log_p, "condition(model, data)")
    if isinstance(log_p, Posterior):
        check(log_p, key)


def check_start(start: Float[Tensor, "m d"], least: int) -> None:
    """ValueError for fewer chains than can be compared."""
    check_floating("start", start, "m d", "one row per chain, such as posterior.starts(key, 64)")
    if len(start) < least:
        raise ValueError(
            f"expected start (m, d) with m >= {least}, got {tuple(start.shape)}: one chain is not compared"
        )


def check_finite(what: str, finite: Bool[Tensor, " m"]) -> None:
    """ValueError for starts that nothing can begin at."""
    if not finite.all():
        raise ValueError(
            f"expected {what} finite at every start, got others for rows {listed(~finite)}: start elsewhere"
        )


@torch.no_grad()
def check_begins(log_p: LogDensity, start: Float[Tensor, "m d"]) -> None:
    """ValueError for starts whose log density is not finite."""
    check_finite("log_p", density(log_p, start[:, None])[:, 0].isfinite())

"""Every method on one posterior: its time, what its bound misses, and how far its moments are from the reference's."""

import time
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

from jensen.core.contracts import Estimate
from jensen.core.models.bayes import Posterior
from jensen.experiments.inference.found import Found, Row
from jensen.experiments.run.errors import reason


class Fitted(NamedTuple):
    """What a method found in so many seconds, or why it found nothing."""

    method: str
    seconds: float
    found: Found | None
    rows: Sequence[Row]
    error: str | None = None


class Compared(NamedTuple):
    """One method against the reference. None where it has no such number.

    gap is log p(x) - ELBO in nats, with log p(x) the best known of all methods. mean_off is the largest distance of a
    mean from the reference's in its standard deviations; sd_off the largest relative error of a standard deviation.
    log_p is the evidence in nats where its error is known. verdict says why the method is not reliable.
    """

    method: str
    seconds: float
    gap: float | None = None
    mean_off: float | None = None
    sd_off: float | None = None
    k_hat: float | None = None
    r_hat: float | None = None
    ess: float | None = None
    log_p: float | None = None
    log_p_error: float | None = None
    reliable: bool | None = None
    verdict: str = ""
    error: str | None = None


def timed(name: str, fit: Callable[[], Found], posterior: Posterior) -> Fitted:
    """One method's, or its error on one line where the model is none for it."""
    start = time.perf_counter()
    try:
        found = fit()
        return Fitted(name, time.perf_counter() - start, found, found.rows(posterior))
    except ValueError as error:
        return Fitted(name, time.perf_counter() - start, None, (), reason(error))


def compared(fitted: Sequence[Fitted], reference: Mapping[str, tuple[float, float]], of: str = "") -> list[Compared]:
    """Each against (mean, sd) of the quantities that the reference has; not the method `of` which it is made."""
    log_p = best_evidence([each.found for each in fitted if each.found is not None])
    return [_compared(each, {} if each.method == of else reference, log_p) for each in fitted]


def best_evidence(found: Sequence[Found]) -> Estimate | None:
    """The one with the smallest error, None where no error is known."""
    every = [estimate for each in found for estimate in each.evidence.values()]
    known = [estimate for estimate in every if estimate.standard_error[0].isfinite()]
    return min(known, key=lambda estimate: estimate.standard_error[0].item(), default=None)


def _compared(fitted: Fitted, reference: Mapping[str, tuple[float, float]], log_p: Estimate | None) -> Compared:
    found = fitted.found
    if found is None:
        return Compared(fitted.method, fitted.seconds, error=fitted.error)
    own = best_evidence([found])
    both = [(row, *reference[row.name]) for row in fitted.rows if row.name in reference]
    q = found.approximation
    return Compared(
        fitted.method,
        fitted.seconds,
        gap=None if q is None or log_p is None else (log_p.log_p[0] - q.elbo).item(),
        mean_off=max((abs(row.mean - mean) / sd for row, mean, sd in both), default=None),
        sd_off=max((abs(row.sd / sd - 1) for row, _, sd in both), default=None),
        k_hat=found.k_hat,
        r_hat=max((row.r_hat for row in fitted.rows if row.r_hat is not None), default=None),
        ess=min((row.ess for row in fitted.rows if row.ess is not None), default=None),
        log_p=None if own is None else own.log_p[0].item(),
        log_p_error=None if own is None else own.standard_error[0].item(),
        reliable=found.reliable,
        verdict=found.verdict,
    )

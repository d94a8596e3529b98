"""What a method cannot know of itself: the evidence by another estimator, and modes that its draws have overlooked."""

import math

import torch
from jaxtyping import Float
from torch import Tensor

from jensen.core import keys
from jensen.core.contracts import Distribution, Key
from jensen.core.distributions import FullNormal, Mixture
from jensen.core.models.bayes import Posterior
from jensen.estimators.evidence import smc
from jensen.estimators.inference import judge, overlooked
from jensen.experiments.inference.comparison import best_evidence
from jensen.experiments.inference.found import Found, of_approximation

STARTS, FARTHER = 8, 3.0  # of climbs to modes
ERRORS = 5.0  # standard errors that two estimates of the evidence may be apart
SLACK, UNKNOWN = 0.05, 0.15  # nats beside them, and where one error is not known
WIDER = (1.0, 1.5, 3.0)  # times the scale of the draws
TOO_WIDE = 0.1  # more of a range from 5 % to 95 %, beside errors
FITTED = 4000  # draws that a normal is fitted to


def examined(posterior: Posterior, found: Found, key: Key, particles: int) -> Found:
    """With the evidence twice, and a verdict that takes back what other opinions contradict."""
    evidence_key, look_key = keys.split(key)
    return reconsidered(posterior, twice(posterior, found, evidence_key, particles), look_key)


def reconsidered(posterior: Posterior, found: Found, key: Key) -> Found:
    """With a doubt for what the estimates of the evidence, climbs to modes and wider draws contradict."""
    modes_key, tails_key = keys.split(key)
    found = with_modes(posterior, doubted(found, disagreement(found)), modes_key)
    return with_tails(posterior, found, tails_key)


def twice(posterior: Posterior, found: Found, key: Key, particles: int) -> Found:
    """With the evidence by sequential Monte Carlo too, where it is known one way alone."""
    if len(found.evidence) > 1:
        return found
    q_key, run_key = keys.split(key)
    second = smc(posterior, annealed_from(posterior, found, q_key), run_key, particles)
    return found._replace(evidence={**found.evidence, "SMC": second})


def with_modes(posterior: Posterior, found: Found, key: Key) -> Found:
    """With a doubt where climbs from dispersed starts end at a mode that has too few draws."""
    start_key, look_key = keys.split(key)
    known = best_evidence([found]) or next(iter(found.evidence.values()))
    if not known.log_p[0].isfinite():
        return found
    missing = overlooked(look_key, posterior, found.z, starts(posterior, start_key), known.log_p[0], found.weights)
    return doubted(found, missing.verdict())


def with_tails(posterior: Posterior, found: Found, key: Key) -> Found:
    """With a doubt where draws of normals as wide as these draws and wider tell of another range of a quantity.

    Light tails hide heavier ones of the posterior from k-hat: none of q's draws is there. Nothing is said where the
    wider draws are not reliable themselves, as in many dimensions.
    """
    if not found.reliable:
        return found
    draw_key, judge_key = keys.split(key)
    try:
        normal = FullNormal.from_draws(found.resampled(draw_key, FITTED)[:, None])
    except ValueError:  # draws that do not span all dimensions
        return found
    grown = [normal._replace(log_scale=normal.log_scale + math.log(c), lower=c * normal.lower) for c in WIDER]
    components = FullNormal(*(torch.cat(fields)[None] for fields in zip(*grown, strict=True)))
    q = Mixture(normal.loc.new_zeros(1, len(WIDER)), components)
    wide = of_approximation(judge(posterior, q, judge_key, len(WIDER) * FITTED))
    if not wide.reliable:
        return found
    each = zip(found.rows(posterior), wide.rows(posterior), strict=True)
    ratio, name = max(((theirs.high - theirs.low) / (ours.high - ours.low), ours.name) for ours, theirs in each)
    ess = min(1 / each.weights.square().sum().item() for each in (found, wide))
    if not ratio > 1 + TOO_WIDE + ERRORS * 1.5 / math.sqrt(ess):  # a range's relative error is below 1.5 / sqrt(ess)
        return found
    return doubted(found, f"wider draws find the range of {name} {ratio:.2f} times as wide: take wider tails, or hmc")


def starts(posterior: Posterior, key: Key) -> Float[Tensor, "m d"]:
    """Half of them near z = 0; the others by the prior, or where that has no draws farther from 0."""
    near_key, far_key = keys.split(key)
    proper = posterior.model.value.draw is not None
    far = posterior.prior().noise(far_key, STARTS)[:, 0] if proper else FARTHER * posterior.starts(far_key, STARTS)
    return torch.cat([posterior.starts(near_key, STARTS), far])


def doubted(found: Found, doubt: str) -> Found:
    """With one more sentence in the verdict, unless it is empty: then nothing may be relied on."""
    return found._replace(verdict=f"{found.verdict}; {doubt}", reliable=False) if doubt else found


def disagreement(found: Found) -> str:
    """Of two estimates of the evidence, beyond their errors; "" where there is none, or no error is known."""
    if len(found.evidence) < 2:
        return ""
    known = {name: (each.log_p[0].item(), each.standard_error[0].item()) for name, each in found.evidence.items()}
    (one, (a, a_error)), (other, (b, b_error)) = list(known.items())[:2]
    errors = [error for error in (a_error, b_error) if error < math.inf]
    slack = SLACK if len(errors) == 2 else UNKNOWN
    if not errors or not abs(a - b) > ERRORS * math.hypot(*errors) + slack:  # NaN is no disagreement
        return ""
    return (
        f"log p(x) by {one} and by {other} are {abs(a - b):.2g} nats apart, with errors of {a_error:.2g} and "
        f"{b_error:.2g}: one of them misses part of the posterior, so compare with other methods, by --method all"
    )


def annealed_from(posterior: Posterior, found: Found, key: Key) -> Distribution:
    """The prior where that is proper and has draws, else q, or the normal of its draws where q is not continuous."""
    if posterior.model.value.draw is not None:
        return posterior.prior()
    if found.q.reparameterised:
        return found.q
    return FullNormal.from_draws(found.resampled(key, FITTED)[:, None])

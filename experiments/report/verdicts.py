"""What an assessment means, in words: each verdict with its numbers, its threshold and what to do."""

import math

import torch

from jensen.core.contracts import Estimate
from jensen.estimators.evidence import Annealed, Sandwich
from jensen.estimators.wording import listed
from jensen.experiments.report.assessment import Assessment
from jensen.experiments.report.chunks import average

CONVERGED, LEVEL = 0.1, 0.05  # nats: a sandwich this thin, and a last rise of IWAE this small, say that it is done
NOT_ANNEALED = (
    "none: it moves z along gradients, and these units are discrete: IWAE at the largest K is the best lower bound "
    "here, and how far below log p(x) it is remains unknown"
)
NOT_FINITE = "no verdict: log p(x) is not finite on some images, which rows.jsonl names"
SOFT = "soft targets: all these are cross-entropies, and bound no log p(x)"


def of_bounds(found: Assessment) -> str:
    value = {(each.bound, each.k): each.value for each in found.bounds}
    ks = sorted({k for name, k in value if name == "IWAE"})
    last, error = ks[-1], average(found.importance.log_p, found.importance.standard_error)[1]
    if not math.isfinite(value["IWAE", last]):
        return NOT_FINITE
    gain = value["IWAE", last] - value["ELBO", last]
    text = f"{last} samples gain {gain:.2f} nats over the ELBO, to {value['IWAE', last]:.3f} ± {error:.3f}"
    if len(ks) > 1:
        rise = value["IWAE", last] - value["IWAE", ks[-2]]
        state = "it has levelled off" if rise < LEVEL else "it still rises, so log p(x) is higher"
        text += f"; IWAE's last step, from K = {ks[-2]}, is {rise:.3f}: {state}"
    above = value["CUBO(2)", last] - value["IWAE", last]
    text += f". CUBO(2) is {above:.2f} above it; its limit is finite "
    if found.discrete:
        return f"{text}on every image, for a discrete q has bounded weights, but may take very many samples to reach"
    if not found.importance.k_hat.isfinite().any():
        return f"{text}where k-hat is below 0.5, which {last} samples are too few to tell"
    trusted = (found.importance.k_hat < 0.5).float().mean().item()
    return f"{text}where k-hat is below 0.5, on {trusted:.0%} of the images, and elsewhere it grows with K for ever"


def of_annealing(annealed: Annealed | None, importance: Estimate) -> str:
    """Annealing against importance sampling, on the same images."""
    if annealed is None:
        return NOT_ANNEALED
    errors = (annealed.standard_error.square() + importance.standard_error.square()).sqrt()
    more, error = average(annealed.log_p - importance.log_p, errors)
    if not math.isfinite(more):
        state = NOT_FINITE
    elif more > max(LEVEL, 2 * error):
        state = "importance sampling has not arrived: quote annealing, or draw more samples"
    elif more < -max(LEVEL, 2 * error):
        state = "annealing has not arrived: raise --temperatures or --chains"
    else:
        state = "the two agree"
    unknown = "" if annealed.standard_error.isfinite().all() else f"; {annealed.verdict()}"
    return (
        f"{more:+.3f} ± {error:.3f} nats from importance sampling, on the same images (acceptance "
        f"{annealed.acceptance.nanmean().item():.2f}): {state}{unknown}"
    )


def of_sandwich(sandwich: Sandwich) -> str:
    sides = sandwich.over_data()
    gap, gap_error = sides.gap.item(), sides.gap_error.item()
    if not math.isfinite(gap):
        thin = NOT_FINITE
    elif abs(gap) + 2 * gap_error < CONVERGED:
        thin = f"below {CONVERGED} nats, so that lower bounds by this annealing are log p(x) to that"
    else:
        thin = f"not surely below {CONVERGED} nats: raise --temperatures, --chains or --images"
    return (
        f"on {len(sandwich.gap)} images simulated from the model, annealing forward and backward leaves "
        f"{sides.lower.item():.3f} … {sides.upper.item():.3f}, a gap of {gap:.3f} ± {gap_error:.3f} nats: {thin}"
    )


def of_kl(found: Assessment) -> str:
    """Collapse by dimension, and what sets the two rules for unused units apart where they disagree."""
    if found.collapse is None:
        return "this q and prior have no KL by dimension in closed form, so collapse is not judged"
    finite = torch.isfinite(found.units.variance) & torch.isfinite(found.collapse.kl)
    apart = ~found.units.active & ~found.collapse.collapsed & finite
    if not apart.any():
        return found.collapse.verdict()
    return (
        f"{found.collapse.verdict()}. The two rules disagree on {listed(apart)}: not active, for the posterior's mean "
        "hardly moves from datum to datum (units), and not collapsed, for on too many data the posterior is not quite "
        "the prior (KL)"
    )


def of_terms(found: Assessment) -> str:
    return (
        f"on all test images, rate (KL) {found.rate:.2f} and distortion (−reconstruction) {found.distortion:.2f}, "
        f"which sum to −ELBO {found.rate + found.distortion:.2f}"
    )

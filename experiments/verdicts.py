"""What an assessment means, in words: each verdict with its numbers, its threshold and what to do."""

import math
from collections.abc import Sequence
from typing import Any

from jensen.estimators.diagnostics import reliability
from jensen.estimators.diagnostics.wording import listed
from jensen.experiments.assessment import Assessment
from jensen.experiments.evaluation import average
from jensen.experiments.finished import Finished

CONVERGED, LEVEL = 0.1, 0.05  # nats: a sandwich this thin, and a last rise of IWAE this small, say that it is done


def verdicts(run: Finished, found: Assessment, k: tuple[int, ...]) -> dict[str, str]:
    """A sentence or two each."""
    told = {"bounds": of_bounds(found, k), **of_evidence(found)}
    if found.inference is not None:
        told["gaps"] = found.inference.verdict()
    told["weights"] = reliability(found.importance.k_hat, found.samples, found.discrete)
    told["units"] = found.units.verdict()
    if found.collapse is None:
        told["KL"] = "two layers of units have no KL by dimension in closed form, so collapse is not judged"
    else:
        told["KL"] = found.collapse.verdict() + of_rules(found)
    told["terms"] = (
        f"on all test images, rate (KL) {found.rate:.2f} and distortion (−reconstruction) {found.distortion:.2f}, "
        f"which sum to −ELBO {found.rate + found.distortion:.2f}"
    )
    if run.settings.likelihood == "soft-bernoulli":
        told["beware"] = "soft targets: all these are cross-entropies, and bound no log p(x)"
    return told


def of_bounds(found: Assessment, k: tuple[int, ...]) -> str:
    value = {(row["bound"], row["k"]): row["value"] for row in found.bounds}
    last, error = k[-1], average(found.importance.log_p, found.importance.standard_error)[1]
    gain = value["IWAE", last] - value["ELBO", last]
    text = f"{last} samples gain {gain:.2f} nats over the ELBO, to {value['IWAE', last]:.3f} ± {error:.3f}"
    if len(k) > 1:
        rise = value["IWAE", last] - value["IWAE", k[-2]]
        state = "it has levelled off" if rise < LEVEL else "it still rises, so log p(x) is higher"
        text += f"; IWAE's last step, from K = {k[-2]}, is {rise:.3f}: {state}"
    above = value["CUBO(2)", last] - value["IWAE", last]
    text += f". CUBO(2) is {above:.2f} above it; its limit is finite "
    if found.discrete:
        return f"{text}on every image, for a discrete q has bounded weights, but may take very many samples to reach"
    trusted = (found.importance.k_hat < 0.5).float().mean().item()
    return f"{text}where k-hat is below 0.5, on {trusted:.0%} of the images, and elsewhere it grows with K for ever"


def of_rules(found: Assessment) -> str:
    """What tells the two rules for unused units apart, where they disagree; else ""."""
    if found.collapse is None:
        return ""
    apart = ~found.units.active & ~found.collapse.collapsed
    if not apart.any():
        return ""
    return (
        f". The two rules disagree on {listed(apart)}: not active, for the posterior's mean hardly moves from datum "
        "to datum (units), and not collapsed, for on too many data the posterior is not quite the prior (KL)"
    )


def of_evidence(found: Assessment) -> dict[str, str]:
    if found.annealed is None or found.sandwich is None:
        return {"annealing": "none: it moves z along gradients, and these units are discrete: IWAE at the largest K is "
                "the best lower bound here, and nothing tells how far below log p(x) it is"}  # fmt: skip
    (more, error), acceptance = paired(found.annealed, found.importance), found.annealed.acceptance.nanmean().item()
    if not math.isfinite(more):
        state = "no verdict: log p(x) is not finite on some images, which rows.jsonl names"
    elif more > max(LEVEL, 2 * error):
        state = "importance sampling has not arrived: quote annealing, or draw more samples"
    elif more < -max(LEVEL, 2 * error):
        state = "annealing has not arrived: raise --temperatures or --chains"
    else:
        state = "the two agree"
    sides = found.sandwich.over_data()
    gap, gap_error = sides.gap.item(), sides.gap_error.item()
    if abs(gap) + 2 * gap_error < CONVERGED:
        thin = f"below {CONVERGED} nats, so that lower bounds by this annealing are log p(x) to that"
    else:
        thin = f"not surely below {CONVERGED} nats: raise --temperatures, --chains or --images"
    return {
        "annealing": f"{more:+.3f} ± {error:.3f} nats from importance sampling, on the same images (acceptance "
        f"{acceptance:.2f}): {state}",
        "sandwich": f"on {len(found.sandwich.gap)} images simulated from the model, annealing forward and backward "
        f"leaves {sides.lower.item():.3f} … {sides.upper.item():.3f}, a gap of {gap:.3f} ± {gap_error:.3f} nats: "
        f"{thin}",
    }


def paired(first: Any, second: Any) -> tuple[float, float]:
    errors = (first.standard_error.square() + second.standard_error.square()).sqrt()
    return average(first.log_p - second.log_p, errors)


def curve(points: Sequence[tuple[float, float, float, str]]) -> str:
    """Runs by KL weight, with the model's best and the trade-off between neighbours."""
    lines = [f"{'KL weight':>9}{'rate':>10}{'distortion':>12}{'−ELBO':>10}   run"]
    for beta, rate, distortion, name in points:
        lines.append(f"{beta:>9g}{rate:>10.2f}{distortion:>12.2f}{rate + distortion:>10.2f}   {name}")
    best = min(points, key=lambda point: point[1] + point[2])
    by_beta = [rate for _, rate, *_ in points]
    falls = by_beta == sorted(by_beta, reverse=True)
    told = (
        "the rate falls as the KL weight rises" if falls else "the rate does not fall at each rise of the KL weight: "
    )
    told += "" if falls else "the runs differ in more than it, or are not trained to the end"
    return "\n".join([*lines, f"{told}; the best ELBO is that of KL weight {best[0]:g}"]) + "\n"

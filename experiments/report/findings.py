"""An assessment as findings, each with its rows, a verdict and a figure; as one screen of text; as numbers."""

import textwrap
from collections.abc import Sequence

from torch import Tensor

from jensen.estimators.diagnostics import k_hat_threshold, reliability
from jensen.experiments.report import assessment_figures as figures
from jensen.experiments.report import ladder, verdicts
from jensen.experiments.report.assessment import Assessment
from jensen.experiments.report.chunks import average
from jensen.experiments.run.files import Json
from jensen.experiments.run.program import Finding, Row


def findings(found: Assessment, soft: bool = False) -> list[Finding]:
    """What was found, in the order of the report. `soft`: whether the likelihood is that of soft targets."""
    each = [
        Finding(
            "bounds",
            [{"of": "bound", **each._asdict()} for each in found.bounds],
            verdicts.of_bounds(found),
            figures.bounds(found),
        ),
        Finding("annealing", [], verdicts.of_annealing(found.annealed, found.importance), figures.annealing(found)),
    ]
    if found.sandwich is not None:
        simulated = columns("simulated image", {"lower": found.sandwich.lower, "upper": found.sandwich.upper})
        each.append(Finding("sandwich", simulated, verdicts.of_sandwich(found.sandwich), figures.sandwich(found)))
    if found.inference is not None:
        left = {f"amortisation_after_{steps}_steps": gap for steps, gap in found.inference.refined.items()}
        gaps = columns("gap", {"log_p": found.inference.log_p, **found.inference.losses(), **left})
        each.append(Finding("gaps", gaps, found.inference.verdict(), figures.gaps(found.inference)))
    trusted = reliability(found.importance.k_hat, found.samples, found.discrete)
    each += [
        Finding("weights", columns("image", of_images(found)), trusted, figures.weights(found)),
        Finding("units", columns("dimension", of_dimensions(found)), found.units.verdict(), figures.dimensions(found)),
        Finding("KL", [], verdicts.of_kl(found)),
        Finding("terms", [], verdicts.of_terms(found)),
    ]
    return [*each, Finding("beware", [], verdicts.SOFT)] if soft else each


def of_images(found: Assessment) -> dict[str, Tensor]:
    evidence = found.importance
    named = {"importance": evidence.log_p, "importance_error": evidence.standard_error, "ess": evidence.ess,
             "k_hat": evidence.k_hat}  # fmt: skip
    if found.annealed is None:
        return named
    return {**named, "annealed": found.annealed.log_p, "annealed_error": found.annealed.standard_error}


def of_dimensions(found: Assessment) -> dict[str, Tensor]:
    named = {"variance": found.units.variance, "active": found.units.active}
    if found.collapse is None:
        return named
    return {**named, "kl": found.collapse.kl, "collapsed": found.collapse.collapsed}


def columns(of: str, named: dict[str, Tensor]) -> list[Row]:
    """A row per entry of tensors (n,), with `of`, the kind of thing that it is about."""
    lists = {name: t.tolist() for name, t in named.items()}
    return [{"of": of, "index": i, **dict(zip(lists, each, strict=True))}
            for i, each in enumerate(zip(*lists.values(), strict=True))]  # fmt: skip


def screen(title: str, found: Assessment, parts: Sequence[Finding]) -> str:
    """One screen: bounds against K, and verdicts in words."""
    ks = sorted({each.k for each in found.bounds})
    lines = [title, "", f"{'test, nats per datum':<22}" + "".join(f"{f'K = {k}':>10}" for k in ks)]
    for name in ladder.BOUNDS:
        by_k = {each.k: f"{each.value:.3f}" for each in found.bounds if each.bound == name}
        lines.append(f"{name:<22}" + "".join(f"{by_k.get(k, ''):>10}" for k in ks))
    if found.annealed is not None:
        log_p, error = average(found.annealed.log_p, found.annealed.standard_error)
        lines.append(f"{'annealing':<22}{log_p:>10.3f} ± {error:.3f} (Monte Carlo)")
    lines.append("")
    for part in parts:
        lines.append(textwrap.fill(part.summary, 118, initial_indent=f"{part.name:<12}", subsequent_indent=" " * 12))
    return "\n".join(lines) + "\n"


def numbers(found: Assessment, parts: Sequence[Finding]) -> dict[str, Json]:
    """Means over images, and the verdicts by name."""
    log_p, error = average(found.importance.log_p, found.importance.standard_error)
    k_hat = found.importance.k_hat
    value: dict[str, Json] = {
        "images": len(k_hat), "rate": found.rate, "distortion": found.distortion,
        "importance": log_p, "importance_error": error, "active_units": int(found.units.active.sum()),
        "k_hat_median": k_hat.median().item(), "k_hat_max": k_hat.max().item(),
        "k_hat_above_threshold": int((~(k_hat <= k_hat_threshold(found.samples))).sum()),
    }  # fmt: skip
    if found.annealed is not None and found.sandwich is not None:
        log_p, error = average(found.annealed.log_p, found.annealed.standard_error)
        value |= {"annealed": log_p, "annealed_error": error, "acceptance": found.annealed.acceptance.nanmean().item()}
        value["sandwich"] = {name: t.item() for name, t in found.sandwich.over_data()._asdict().items()}
    if found.inference is not None:
        value["gaps"] = found.inference.means()
    if found.collapse is not None:
        value["collapsed_dimensions"] = int(found.collapse.collapsed.sum())
    return {**value, "verdicts": {part.name: part.summary for part in parts}}

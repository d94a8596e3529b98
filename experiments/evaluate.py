"""Judge finished runs of experiments.train beyond their ELBO: bounds, evidence from two sides, weights, latent units.

Claim    a VAE's −ELBO says little by itself: of its distance to log p(x) more samples close a part that IWAE shows,
         annealing says what is left, k-hat whether the weights can be trusted, and KL by dimension which latents work
Command  python -m jensen.experiments.evaluate RUN_FOLDER [MORE_RUN_FOLDERS]
"""

import json
import math
import sys
import textwrap
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import tyro
from torch import Tensor

from jensen.core import keys
from jensen.experiments import assessment_figures, ladder, runs
from jensen.experiments.assessment import Assessment, assess
from jensen.experiments.finished import Finished, check_alike, read
from jensen.experiments.settings import InputError

FOLDER = "evaluation"
CONVERGED, LEVEL = 0.1, 0.05  # nats: a sandwich this thin, and a last rise of IWAE this small, say that it is done


@dataclass(frozen=True)
class Settings:
    """Evaluate finished runs; each run's report, rows and figures go to its folder's evaluation/."""

    runs: Annotated[tuple[Path, ...], tyro.conf.Positional]
    """Run folders of experiments.train; of several, on the same data, the first gets a rate–distortion curve."""
    images: int = 100
    """Test images that bounds, annealing and k-hat are of, the first ones; as many are simulated."""
    k: tuple[int, ...] = (1, 5, 10, 50, 500, 5000)
    """Samples per bound, rising. All bounds are computed from the same max K samples of each image."""
    chains: int = 16
    """Annealed chains per image, in each direction (vae)."""
    temperatures: int = 100
    """Of annealing, from the encoder's posterior to the model's (vae)."""
    seed: int = 0
    """Everything random follows from it."""
    device: str | None = None
    """A torch device; each run's own unless given."""

    def check(self) -> None:
        """Raises an InputError for what cannot work."""
        if not self.runs:
            raise InputError("expected a run folder of experiments.train: name one or more")
        if len({folder.resolve() for folder in self.runs}) < len(self.runs):
            raise InputError("a run folder is named twice: leave one out")
        if not self.k or self.k[0] < 1 or sorted(set(self.k)) != list(self.k) or self.k[-1] < 2:
            raise InputError(f"--k {' '.join(map(str, self.k))}: expected rising counts of samples, at least 1 and 2")
        for name, low in {"images": 2, "chains": 2, "temperatures": 1}.items():
            if getattr(self, name) < low:
                raise InputError(f"expected --{name} of at least {low}, got {getattr(self, name)}")
        if not 0 <= self.seed < 2**63:
            raise InputError(f"expected --seed in [0, 2^63), got {self.seed}")


def main() -> None:
    """The command line: exit code 2 for bad input."""
    settings = tyro.cli(Settings, prog="python -m jensen.experiments.evaluate")
    try:
        settings.check()
        run(settings)
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)


def run(settings: Settings) -> list[Assessment]:
    """Evaluates, draws and reports; nothing is begun before all runs are read."""
    finished = [read(folder, settings.device) for folder in settings.runs]
    check_alike(finished)
    for each in finished:
        if settings.images > len(each.images.test):
            raise InputError(
                f"--images {settings.images} exceeds the {len(each.images.test)} test images: ask for fewer"
            )
        if not each.folder.joinpath(FOLDER).is_dir():
            make(each.folder / FOLDER)
    found = []
    for each in finished:
        started = time.monotonic()
        key = keys.key(settings.seed, each.images.test.device)
        result = assess(each, settings.images, settings.k, settings.chains, settings.temperatures, key)
        found.append(result)
        target = each.folder / FOLDER
        text = report(each, result, settings)
        runs.write_atomically(target / "report.txt", text.encode())
        runs.write_json(target / "report.json", finite(as_json(each, result, settings)))
        lines = "".join(json.dumps(finite(row)) + "\n" for row in rows(result))
        runs.write_atomically(target / "rows.jsonl", lines.encode())
        assessment_figures.draw_all(target, result)
        print(f"{text}\nreport, rows and figures in {target} ({time.monotonic() - started:.0f} s)\n")
    if len(finished) > 1:
        target = settings.runs[0] / FOLDER
        points = sorted((each.settings.kl_weight, result.rate, result.distortion, str(each.folder))
                        for each, result in zip(finished, found, strict=True))  # fmt: skip
        text = curve(points)
        runs.write_atomically(target / "rate-distortion.txt", text.encode())
        lines = [dict(zip(("kl_weight", "rate", "distortion", "run"), point, strict=True)) for point in points]
        runs.write_atomically(target / "rate-distortion.jsonl", "".join(json.dumps(r) + "\n" for r in lines).encode())
        assessment_figures.rate_distortion(target / "rate-distortion.png", points)
        print(f"{text}\ncurve in {target}")
    return found


def make(folder: Path) -> None:
    try:
        folder.mkdir()
    except OSError as error:
        raise InputError(f"{folder} cannot be made ({error.strerror}): move what is there, or free the run") from error


def report(run: Finished, found: Assessment, settings: Settings) -> str:
    """One screen: bounds against K, and verdicts in words."""
    of = run.settings
    beta = f", trained with KL weight {of.kl_weight:g}" if of.kl_weight != 1 else ""
    lines = [
        f"{of.model} on {of.data}: the first {settings.images} of {len(run.images.test)} test images, "
        f"{of.likelihood} likelihood{beta}",
        "",
        f"{'test, nats per datum':<22}" + "".join(f"{f'K = {k}':>10}" for k in settings.k),
    ]
    for name in ladder.BOUNDS:
        by_k = {row["k"]: f"{row['value']:.3f}" for row in found.bounds if row["bound"] == name}
        lines.append(f"{name:<22}" + "".join(f"{by_k.get(k, ''):>10}" for k in settings.k))
    if found.annealed is not None:
        log_p, error = average(found.annealed.log_p, found.annealed.standard_error)
        lines.append(f"{'annealing':<22}{log_p:>10.3f} ± {error:.3f} (Monte Carlo), {settings.chains} chains, "
                     f"{settings.temperatures} temperatures")  # fmt: skip
    lines.append("")
    for name, verdict in verdicts(run, found, settings).items():
        lines.append(textwrap.fill(verdict, 118, initial_indent=f"{name:<12}", subsequent_indent=" " * 12))
    return "\n".join(lines) + "\n"


def verdicts(run: Finished, found: Assessment, settings: Settings) -> dict[str, str]:
    """A sentence or two each."""
    told = {"bounds": of_bounds(found, settings), **of_evidence(found)}
    told["weights"] = found.psis.verdict()
    told["units"] = found.units.verdict()
    if found.collapse is None:
        told["KL"] = "two layers of units have no KL by dimension in closed form, so collapse is not judged"
    else:
        told["KL"] = found.collapse.verdict()
    told["terms"] = (
        f"on all test images, rate (KL) {found.rate:.2f} and distortion (−reconstruction) {found.distortion:.2f}, "
        f"which sum to −ELBO {found.rate + found.distortion:.2f}"
    )
    if run.settings.likelihood == "soft-bernoulli":
        told["beware"] = "soft targets: all these are cross-entropies, and bound no log p(x)"
    return told


def of_bounds(found: Assessment, settings: Settings) -> str:
    value = {(row["bound"], row["k"]): row["value"] for row in found.bounds}
    last, error = settings.k[-1], average(found.importance.log_p, found.importance.standard_error)[1]
    gain = value["IWAE", last] - value["ELBO", last]
    text = f"{last} samples gain {gain:.2f} nats over the ELBO, to {value['IWAE', last]:.3f} ± {error:.3f}"
    if len(settings.k) > 1:
        rise = value["IWAE", last] - value["IWAE", settings.k[-2]]
        state = "it has levelled off" if rise < LEVEL else "it still rises, so log p(x) is higher"
        text += f"; IWAE's last step, from K = {settings.k[-2]}, is {rise:.3f}: {state}"
    above = value["CUBO(2)", last] - value["IWAE", last]
    trusted = (found.psis.k_hat < 0.5).float().mean().item()
    return (
        f"{text}. CUBO(2) is {above:.2f} above it; its limit is finite where k-hat is below 0.5, on {trusted:.0%} of the "
        "images, and elsewhere it grows with K for ever"
    )


def of_evidence(found: Assessment) -> dict[str, str]:
    if found.annealed is None or found.sandwich is None:
        return {"annealing": "none: it moves z along gradients, and these units are discrete: IWAE at the largest K is "
                "the best lower bound here, and nothing tells how far below log p(x) it is"}  # fmt: skip
    (more, error), acceptance = paired(found.annealed, found.importance), found.annealed.acceptance.mean().item()
    if more > max(LEVEL, 2 * error):
        state = "importance sampling has not arrived: quote annealing, or draw more samples"
    elif more < -max(LEVEL, 2 * error):
        state = "annealing has not arrived: raise --temperatures or --chains"
    else:
        state = "the two agree"
    sides = found.sandwich.over_data()
    gap, gap_error = sides.gap.item(), sides.gap_error.item()
    if abs(gap) < CONVERGED:
        thin = f"below {CONVERGED} nats, so that lower bounds by this annealing are log p(x) to that"
    else:
        thin = "wide: these lower bounds are short by up to it, so raise --temperatures or --chains"
    return {
        "annealing": f"{more:+.3f} ± {error:.3f} nats from importance sampling, on the same images (acceptance "
        f"{acceptance:.2f}): {state}",
        "sandwich": f"on {len(found.sandwich.gap)} images simulated from the model, annealing forward and backward "
        f"leaves {sides.lower.item():.3f} … {sides.upper.item():.3f}, a gap of {gap:.3f} ± {gap_error:.3f} nats: {thin}",
    }


def average(values: Tensor, errors: Tensor) -> tuple[float, float]:
    """The mean over images and its Monte Carlo error."""
    return values.mean().item(), errors.square().sum().sqrt().item() / len(values)


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


def rows(found: Assessment) -> list[dict[str, Any]]:
    """A row per bound and K, per image, per simulated image and per latent dimension, told apart by `of`."""
    images = {"importance": found.importance.log_p, "importance_error": found.importance.standard_error,
              "ess": found.importance.ess, "k_hat": found.psis.k_hat}  # fmt: skip
    if found.annealed is not None:
        images |= {"annealed": found.annealed.log_p, "annealed_error": found.annealed.standard_error}
    dimensions = {"variance": found.units.variance, "active": found.units.active}
    if found.collapse is not None:
        dimensions |= {"kl": found.collapse.kl, "collapsed": found.collapse.collapsed}
    simulated = {} if found.sandwich is None else {"lower": found.sandwich.lower, "upper": found.sandwich.upper}
    return [
        *found.bounds,
        *columns("image", images),
        *columns("simulated image", simulated),
        *columns("dimension", dimensions),
    ]


def columns(of: str, named: dict[str, Tensor]) -> list[dict[str, Any]]:
    lists = {name: t.tolist() for name, t in named.items()}
    return [{"of": of, "index": i, **dict(zip(lists, each, strict=True))}
            for i, each in enumerate(zip(*lists.values(), strict=True))]  # fmt: skip


def as_json(run: Finished, found: Assessment, settings: Settings) -> dict[str, Any]:
    log_p, error = average(found.importance.log_p, found.importance.standard_error)
    value: dict[str, Any] = {
        "images": settings.images, "kl_weight": run.settings.kl_weight, "rate": found.rate,
        "distortion": found.distortion, "importance": log_p, "importance_error": error,
        "active_units": int(found.units.active.sum()), "k_hat_median": found.psis.k_hat.median().item(),
        "k_hat_max": found.psis.k_hat.max().item(),
        "k_hat_above_threshold": int((~(found.psis.k_hat <= found.psis.threshold)).sum()),
    }  # fmt: skip
    if found.annealed is not None and found.sandwich is not None:
        log_p, error = average(found.annealed.log_p, found.annealed.standard_error)
        value |= {"annealed": log_p, "annealed_error": error, "acceptance": found.annealed.acceptance.mean().item()}
        value["sandwich"] = {name: t.item() for name, t in found.sandwich.over_data()._asdict().items()}
    if found.collapse is not None:
        value["collapsed_dimensions"] = int(found.collapse.collapsed.sum())
    return value | {"verdicts": verdicts(run, found, settings)}


def finite(value: Any) -> Any:
    """JSON has no infinities: they become null, as does what is not a number."""
    if isinstance(value, dict):
        return {name: finite(each) for name, each in value.items()}
    return None if isinstance(value, float) and not math.isfinite(value) else value


if __name__ == "__main__":
    main()

"""Judge finished runs of experiments.train beyond their ELBO: bounds, evidence from two sides, weights, latent units.

Claim    a VAE's −ELBO says little by itself: of its distance to log p(x) more samples close a part that IWAE shows,
         annealing says what is left, k-hat whether the weights can be trusted, fits of q to single images whether the
         encoder or the family is to blame, and KL by dimension which latents work
Command  python -m jensen.experiments.evaluate RUN_FOLDER [MORE_RUN_FOLDERS]
"""

import math
import os
import textwrap
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import tyro
from torch import Tensor

from jensen.core import keys
from jensen.estimators.diagnostics import k_hat_threshold
from jensen.experiments import assessment_figures, ladder, runs
from jensen.experiments.assessment import Assessment, assess
from jensen.experiments.command import command
from jensen.experiments.evaluation import average
from jensen.experiments.finished import Finished, check_alike, read
from jensen.experiments.settings import InputError, option
from jensen.experiments.verdicts import curve, verdicts

FOLDER = "evaluation"


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
    gap_images: int = 20
    """Of the images, how many get a q of their own, mean-field and flow, to compare with the encoder's (vae)."""
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
        for name, low in {"images": 2, "chains": 2, "temperatures": 1, "gap_images": 0}.items():
            if getattr(self, name) < low:
                raise InputError(f"expected {option(name)} of at least {low}, got {getattr(self, name)}")
        if not 0 <= self.seed < 2**63:
            raise InputError(f"expected --seed in [0, 2^63), got {self.seed}")


def main() -> None:
    """The command line."""
    with command("run it again", "--images, --chains or --gap-images"):
        settings = tyro.cli(Settings, prog="python -m jensen.experiments.evaluate")
        settings.check()
        run(settings)


def run(settings: Settings) -> list[Assessment]:
    """Evaluates, draws and reports; nothing is begun before all runs are read, and each evaluation is left whole."""
    finished = [read(folder, settings.device) for folder in settings.runs]
    check_alike(finished)
    for each in finished:
        if settings.images > len(each.images.test):
            raise InputError(
                f"--images {settings.images} exceeds the {len(each.images.test)} test images: ask for fewer"
            )
        check_place(each.folder / FOLDER)
    found = []
    for each in finished:
        started = time.monotonic()
        key = keys.key(settings.seed, each.images.test.device)
        result = assess(
            each, settings.images, settings.k, settings.chains, settings.temperatures, settings.gap_images, key
        )
        found.append(result)
        text = report(each, result, settings)
        with runs.replaced(each.folder / FOLDER) as target:
            assessment_figures.draw_all(target, result)
            runs.write_atomically(target / "report.txt", text.encode())
            runs.write_rows(target / "rows.jsonl", map(finite, rows(result)))
            runs.write_json(target / "report.json", finite(as_json(each, result, settings)))
        spent = time.monotonic() - started
        print(f"{text}\nreport, rows and figures in {each.folder / FOLDER} ({spent:.0f} s)\n")
    if len(finished) > 1:
        target = settings.runs[0] / FOLDER
        points = sorted((each.settings.kl_weight, result.rate, result.distortion, str(each.folder))
                        for each, result in zip(finished, found, strict=True))  # fmt: skip
        text = curve(points)
        assessment_figures.rate_distortion(target / "rate-distortion.png", points)
        runs.write_atomically(target / "rate-distortion.txt", text.encode())
        lines = [dict(zip(("kl_weight", "rate", "distortion", "run"), point, strict=True)) for point in points]
        runs.write_rows(target / "rate-distortion.jsonl", lines)
        print(f"{text}\ncurve in {target}")
    return found


def check_place(folder: Path) -> None:
    """InputError where an evaluation could not be left at the end."""
    if folder.exists() and not folder.is_dir():
        raise InputError(f"{folder} cannot be made (there is a file): move it away")
    if not os.access(folder.parent, os.W_OK):
        raise InputError(f"{folder} cannot be made (no permission): make {folder.parent} writable")


def report(run: Finished, found: Assessment, settings: Settings) -> str:
    """One screen: bounds against K, and verdicts in words."""
    of = run.settings
    weighting = f", trained with {of.weighting}" if of.weighting else ""
    lines = [
        f"{of.model} on {of.data}: the first {settings.images} of {len(run.images.test)} test images, "
        f"{of.likelihood} likelihood{weighting}",
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
    for name, verdict in verdicts(run, found, settings.k).items():
        lines.append(textwrap.fill(verdict, 118, initial_indent=f"{name:<12}", subsequent_indent=" " * 12))
    return "\n".join(lines) + "\n"


def rows(found: Assessment) -> list[dict[str, Any]]:
    """A row per bound and K, per image, per simulated image and per latent dimension, told apart by `of`."""
    images = {"importance": found.importance.log_p, "importance_error": found.importance.standard_error,
              "ess": found.importance.ess, "k_hat": found.importance.k_hat}  # fmt: skip
    if found.annealed is not None:
        images |= {"annealed": found.annealed.log_p, "annealed_error": found.annealed.standard_error}
    dimensions = {"variance": found.units.variance, "active": found.units.active}
    if found.collapse is not None:
        dimensions |= {"kl": found.collapse.kl, "collapsed": found.collapse.collapsed}
    gaps = {} if found.inference is None else {"log_p": found.inference.log_p, **found.inference.losses()}
    simulated = {} if found.sandwich is None else {"lower": found.sandwich.lower, "upper": found.sandwich.upper}
    return [
        *found.bounds,
        *columns("image", images),
        *columns("simulated image", simulated),
        *columns("dimension", dimensions),
        *columns("gap", gaps),
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
        "active_units": int(found.units.active.sum()), "k_hat_median": found.importance.k_hat.median().item(),
        "k_hat_max": found.importance.k_hat.max().item(),
        "k_hat_above_threshold": int((~(found.importance.k_hat <= k_hat_threshold(found.samples))).sum()),
    }  # fmt: skip
    if found.annealed is not None and found.sandwich is not None:
        log_p, error = average(found.annealed.log_p, found.annealed.standard_error)
        value |= {"annealed": log_p, "annealed_error": error, "acceptance": found.annealed.acceptance.nanmean().item()}
        value["sandwich"] = {name: t.item() for name, t in found.sandwich.over_data()._asdict().items()}
    if found.inference is not None:
        value["gaps"] = found.inference.means()
    if found.collapse is not None:
        value["collapsed_dimensions"] = int(found.collapse.collapsed.sum())
    return value | {"verdicts": verdicts(run, found, settings.k)}


def finite(value: Any) -> Any:
    """JSON has no infinities: they become null, as does what is not a number."""
    if isinstance(value, dict):
        return {name: finite(each) for name, each in value.items()}
    return None if isinstance(value, float) and not math.isfinite(value) else value


if __name__ == "__main__":
    main()

"""Train one sigmoid belief net with each estimator of discrete gradients, on an equal budget, and compare test bounds.

Claim    at an equal number of evaluations of log p, VIMCO, leave-one-out, DisARM and RELAX end clearly ahead of NVIL
         and REINFORCE (Mnih and Rezende, 2016; Grathwohl et al., 2018; Dong et al., 2020)
Command  python -m jensen.experiments.discrete_estimators --data mnist-static --data-dir FOLDER
"""

import dataclasses
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import tyro

from jensen.experiments import runs, train
from jensen.experiments.checks import check
from jensen.experiments.command import command
from jensen.experiments.settings import InputError
from jensen.experiments.settings import Settings as Run

EACH: dict[str, tuple[dict[str, Any], int]] = {  # by name: the options of a run, and evaluations of log p per sample
    "REINFORCE": ({"estimator": "score", "baseline": "none"}, 1),
    "NVIL": ({"estimator": "score", "baseline": "nvil"}, 1),
    "RLOO": ({"estimator": "score", "baseline": "leave-one-out"}, 1),
    "VIMCO": ({"estimator": "score", "baseline": "vimco", "bound": "iwae"}, 1),
    "DisARM": ({"estimator": "disarm"}, 2),
    "REBAR": ({"estimator": "rebar"}, 2),
    "RELAX": ({"estimator": "relax"}, 2),
}


@dataclass(frozen=True)
class Settings:
    """Compare estimators of discrete gradients by what a linear sigmoid belief net learns with them."""

    data: Literal["digits", "mnist", "mnist-static"] = "digits"
    """As for experiments.train."""
    data_dir: Path | None = None
    """As for experiments.train."""
    out: Path = Path("runs/discrete-estimators")
    """Folder of a run per estimator, and of rows.jsonl; a run that is there is gone on with."""
    evaluations: int = 4
    """Evaluations of log p per datum and step: as many samples, or half as many for those that use two each."""
    epochs: int = 20
    """Passes over the training data."""
    units: int = 200
    """Latent units, in one layer."""
    lr: float = 1e-3
    """Adam's peak learning rate."""
    seed: int = 0
    """Of every run."""


def main() -> None:
    """The command line."""
    with command("run it again to go on", "--evaluations or --units"):
        settings = tyro.cli(Settings, prog="python -m jensen.experiments.discrete_estimators")
        print(table(run(settings), settings))


def run(settings: Settings) -> list[dict]:
    """A row per estimator, in order."""
    if settings.evaluations < 2 or settings.evaluations % 2:
        raise InputError(f"--evaluations {settings.evaluations}: expected an even number, of at least 2")
    each = {name: options(name, settings) for name in EACH}
    for one in each.values():
        check(one)
    rows = []
    for name, one in each.items():
        folder = settings.out / name
        onwards = go_on(one, folder)
        if outcome(folder) is None:
            train.run(onwards)
        rows.append({"estimator": name, "k": one.k, **(outcome(folder) or {})})
    runs.write_rows(settings.out / "rows.jsonl", rows)
    return rows


def outcome(folder: Path) -> dict[str, Any] | None:
    """What the run in the folder came to; None for one that has not told everything."""
    try:
        report, timing = (json.loads((folder / name).read_text()) for name in ("report.json", "timing.json"))
        return {**report, "training_s": timing["training_s"]}
    except (OSError, ValueError, TypeError, KeyError):
        return None


def go_on(run: Run, folder: Path) -> Run:
    """The run as it goes on from what is in its folder, if only its settings. InputError where that is another run."""
    if not (folder / runs.CONFIG).exists():
        return run
    saved = runs.read_settings(folder)
    if saved.config() != run.config():
        raise InputError(f"{folder} {runs.differences(saved.config(), run.config())}: choose another --out")
    return dataclasses.replace(run, out=None, resume=folder)


def options(name: str, settings: Settings) -> Run:
    own, evaluations = EACH[name]
    return Run(
        model="sbn", units=settings.units, data=settings.data, data_dir=settings.data_dir, lr=settings.lr,
        epochs=settings.epochs, seed=settings.seed, k=settings.evaluations // evaluations, out=settings.out / name,
        **own,
    )  # fmt: skip


def table(rows: list[dict], settings: Settings) -> str:
    """The test bounds, best NLL first."""
    head = f"{settings.units} linear units, {settings.evaluations} evaluations per datum, {settings.epochs} epochs"
    lines = [f"{head:<52}{'K':>4}{'−ELBO':>9}{'NLL':>9}{'training s':>12}"]
    for row in sorted(rows, key=lambda row: row["nll"]):
        lines.append(
            f"  {row['estimator']:<50}{row['k']:>4}{-row['elbo']:>9.2f}{row['nll']:>9.2f}{row['training_s']:>12.0f}"
        )
    return "\n".join(lines)


if __name__ == "__main__":
    main()

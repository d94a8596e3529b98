"""Train one sigmoid belief net with each estimator of discrete gradients, on an equal budget, and compare test bounds.

Claim    at an equal number of evaluations of log p, VIMCO, leave-one-out, DisARM and RELAX end clearly ahead of NVIL
         and REINFORCE (Mnih and Rezende, 2016; Grathwohl et al., 2018; Dong et al., 2020)
Command  python -m jensen.experiments.claims.discrete_estimators --data mnist-static --data-dir FOLDER
"""

if __name__ == "__main__":  # before the imports, in which Ctrl-C is then one line too
    from jensen.experiments.reproduce import launch

    launch(__file__)

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, NamedTuple

import tyro

from jensen.estimators.gradients import catalogue
from jensen.experiments.claims.trained import trained
from jensen.experiments.data.images import ImageData
from jensen.experiments.programs.estimation import Estimation
from jensen.experiments.programs.sbn import Sbn
from jensen.experiments.run import files
from jensen.experiments.run.command import command
from jensen.experiments.run.errors import InputError
from jensen.experiments.run.optimisers import Optimiser
from jensen.experiments.run.settings import Run

EACH = {
    "REINFORCE": Estimation(estimator="score", baseline="none"),
    "NVIL": Estimation(estimator="score", baseline="nvil"),
    "RLOO": Estimation(estimator="score", baseline="leave-one-out"),
    "VIMCO": Estimation(estimator="score", baseline="vimco", bound="iwae"),
    "DisARM": Estimation(estimator="disarm"),
    "REBAR": Estimation(estimator="rebar"),
    "RELAX": Estimation(estimator="relax"),
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


class Outcome(NamedTuple):
    """What a run came to on test data, in nats per datum."""

    estimator: str
    k: int
    elbo: float
    nll: float
    error: float  # Monte Carlo, of the NLL
    training_s: float


def main(argv: list[str] | None = None) -> None:
    """The command line."""
    with command("run it again to go on", "--evaluations or --units"):
        settings = tyro.cli(Settings, args=argv, prog="python -m jensen.experiments.claims.discrete_estimators")
        print(table(run(settings), settings))


def run(settings: Settings) -> list[Outcome]:
    """A row per estimator, in order."""
    if settings.evaluations < 2 or settings.evaluations % 2:
        raise InputError(f"--evaluations {settings.evaluations}: expected an even number, of at least 2")
    each = {name: options(name, settings) for name in EACH}
    for one in each.values():
        one.check()
    rows = [Outcome(name, one.estimation.k, *trained("sbn", one)) for name, one in each.items()]
    files.write_rows(settings.out / "rows.jsonl", [row._asdict() for row in rows])
    return rows


def options(name: str, settings: Settings) -> Sbn:
    """The run of an estimator: its samples are what the budget buys."""
    estimation = EACH[name]
    return Sbn(
        images=ImageData(data=settings.data, data_dir=settings.data_dir),
        units=settings.units,
        estimation=dataclasses.replace(estimation, k=settings.evaluations // evaluations(estimation)),
        optimiser=Optimiser(lr=settings.lr),
        run=Run(epochs=settings.epochs, seed=settings.seed, out=settings.out / name),
    )


def evaluations(estimation: Estimation) -> int:
    """Of log p, per sample; RELAX's control variate makes one of its own."""
    return int(catalogue.ROWS[estimation.name].evaluations) + (estimation.name == "relax")


def table(rows: Sequence[Outcome], settings: Settings) -> str:
    """The test bounds, best NLL first."""
    head = f"{settings.units} linear units, {settings.evaluations} evaluations per datum, {settings.epochs} epochs"
    lines = [f"{head:<52}{'K':>4}{'−ELBO':>9}{'NLL':>9}{'training s':>12}"]
    for row in sorted(rows, key=lambda row: row.nll):
        lines.append(f"  {row.estimator:<50}{row.k:>4}{-row.elbo:>9.2f}{row.nll:>9.2f}{row.training_s:>12.0f}")
    return "\n".join(lines)

"""Train one generator against five critics, and count the modes it finds and the points that are near one.

Claim    on eight normals of small deviation the first game (Goodfellow et al., 2014), clipped weights (Arjovsky et al.,
         2017) and spectral norms alone (Miyato et al., 2018) lose modes or smear between them, where a gradient penalty
         (Gulrajani et al., 2017) and a relativistic game with two penalties (Huang et al., 2024) find every mode and
         stay near; a critic's difference over its steepest slope is at most the exact Wasserstein distance
Command  python -m jensen.experiments.claims.adversaries
         python -m jensen.experiments.claims.adversaries --data grid
"""

if __name__ == "__main__":  # before the imports, in which Ctrl-C is then one line too
    from jensen.experiments.reproduce import launch

    launch(__file__)

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Literal

import torch
import tyro
from matplotlib.figure import Figure
from torch import Tensor

from jensen.core import keys
from jensen.core.models.adversarial import duality
from jensen.experiments.claims.compared import Column, Row, check_seeds, place, table, values
from jensen.experiments.data.points import PointData
from jensen.experiments.programs import Gan
from jensen.experiments.programs.finished import FinishedRun, read_run
from jensen.experiments.recipes.generators import grid_r3gan, ring_r3gan, ring_wgan_gp
from jensen.experiments.report.drawing import panels, png
from jensen.experiments.report.points import COMPARED
from jensen.experiments.run import files
from jensen.experiments.run.command import command
from jensen.experiments.run.errors import InputError
from jensen.experiments.run.kept import findings, finished, training_seconds

KEY = keys.key(31)
MODES = {"ring": 8, "grid": 25}
NEAR = 0.9  # the share of points from which a generator stays near the modes
COLUMNS = (
    Column("modes", "modes", 1), Column("near", "near"), Column("W1", "wasserstein", 3),
    Column("W1 by the critic", "bound", 3), Column("seconds", "training_s", 0),
)  # fmt: skip


@dataclass(frozen=True)
class Settings:
    """Compare adversarial games and constraints at one number of steps, over several seeds."""

    data: Literal["ring", "grid"] = "ring"
    """As for experiments.train gan."""
    out: Path = Path("runs/adversaries")
    """Folder of a run per contender and seed, of rows.jsonl and of a figure; a run that is there is gone on with."""
    seeds: int = 2
    """Runs of each."""
    steps: int | None = None
    """Of critic and generator in all; the recipes' unless given."""
    hidden: tuple[int, ...] = Gan.hidden
    """Widths of hidden layers."""
    compile: bool = True
    """Compile the step and the evaluation with torch.compile."""

    def check(self) -> None:
        """Raises an InputError for what cannot work."""
        check_seeds(self.seeds)


def main(argv: list[str] | None = None) -> None:
    """The command line."""
    with command("run it again to go on", "--hidden"):
        settings = tyro.cli(Settings, args=argv, prog="python -m jensen.experiments.claims.adversaries")
        settings.check()
        rows = measure(settings)
        print(table(f"{settings.data}, {settings.seeds} seeds", rows, COLUMNS))
        print(f"\n{verdict(rows, MODES[settings.data])}\nruns, rows and figure in {settings.out}")


def measure(settings: Settings) -> list[Row]:
    """A row per contender and seed, and the figure of the first seed's generators."""
    names = [(name, seed) for seed in range(settings.seeds) for name in contenders(settings)]
    each = {(name, seed): of_seed(settings, name, seed) for name, seed in names}
    for one in each.values():
        one.check()
    files.make(settings.out)
    rows = [Row(name, seed, finished("gan", one, numbers)) for (name, seed), one in each.items()]
    rows = [row._replace(numbers={**row.numbers, **dual(place(settings.out, row.name, row.seed))}) for row in rows]
    files.write_atomically(settings.out / "adversaries.png", png(drawing(settings)))
    files.write_rows(settings.out / "rows.jsonl", [{"name": r.name, "seed": r.seed, **r.numbers} for r in rows])
    return rows


def contenders(settings: Settings) -> Mapping[str, Gan]:
    """By name, of one budget and optimiser, with the networks and batch of the recipes."""
    relativistic = grid_r3gan() if settings.data == "grid" else ring_r3gan()
    wasserstein = dataclasses.replace(ring_wgan_gp(), optimiser=relativistic.optimiser)
    plain = dataclasses.replace(wasserstein, strength=None)
    return {
        "minimax GAN": dataclasses.replace(plain, game="minimax", smooth="free", critics=1),
        "clipped WGAN": dataclasses.replace(plain, smooth="clipped", critics=5),
        "spectral GAN": dataclasses.replace(plain, game="non-saturating", smooth="spectral"),
        "WGAN-GP": wasserstein,
        "R3GAN": dataclasses.replace(relativistic, latent=wasserstein.latent, run=wasserstein.run),
    }


def of_seed(settings: Settings, name: str, seed: int) -> Gan:
    """A contender's settings."""
    one = contenders(settings)[name]
    steps = one.run.steps if settings.steps is None else settings.steps
    run = dataclasses.replace(
        one.run, steps=steps, checkpoint_every=steps, compile=settings.compile, seed=seed,
        out=place(settings.out, name, seed),
    )  # fmt: skip
    return dataclasses.replace(one, points=PointData(data=settings.data), hidden=settings.hidden, run=run)


def numbers(folder: Path) -> dict[str, float] | None:
    """What the report of a finished run says of its points, and the seconds of training; None where it has none."""
    try:
        said = {row["name"]: float(row["value"]) for row in findings(folder)["points"]}
        return {**said, "training_s": training_seconds(folder)}
    except (InputError, TypeError, KeyError, ValueError):
        return None


@torch.no_grad()
def dual(folder: Path) -> dict[str, float]:
    """What the critic of a finished run says of the distance of its generator's points from test points."""
    run = read_run(folder)
    model, constraint = run.prepared.program.model, run.state["constraint"]
    value = partial(model.value, run.params, constraint)
    return {"bound": duality.lower_bound(value, run.prepared.data.test[:COMPARED], drawn(run)).item()}


@torch.no_grad()
def drawn(run: FinishedRun) -> Tensor:
    return run.prepared.program.sample(run.params, run.state, KEY, COMPARED)


def drawing(settings: Settings) -> Figure:
    """Points of the first seed's generators, beside the centres."""
    names = list(contenders(settings))
    figure, axes = panels(1, len(names), 2.6 * len(names), 2.8)
    for axis, name in zip(axes[0], names, strict=True):
        run = read_run(place(settings.out, name, 0))
        axis.scatter(*run.prepared.data.centres.T, s=12, color="black", marker="+", linewidths=0.6)
        axis.scatter(*drawn(run).T, s=2, alpha=0.4, linewidths=0)
        axis.set(title=name, xlim=(-2.8, 2.8), ylim=(-2.8, 2.8), aspect="equal")
    return figure


def verdict(rows: Sequence[Row], modes: int) -> str:
    """Who finds every mode and stays near them in every seed, and who does not."""
    found, near = Column("", "modes"), Column("", "near")
    names = list(dict.fromkeys(row.name for row in rows))
    good = [
        name for name in names
        if min(values(rows, name, found)) == modes and min(values(rows, name, near)) >= NEAR
    ]  # fmt: skip
    others = [name for name in names if name not in good]
    said = f"{modes} modes found and {NEAR:.0%} of points near one in every seed: {', '.join(good) or 'none'}"
    return said + (f"; not: {', '.join(others)}" if others else "")

"""Straighten a flow by training another on its own pairs of starts and ends: quality by the steps that draw.

Claim    flow matching's paths bend, since independent starts and ends cross; a second flow on the first one's pairs
         (reflow; Liu et al., 2023) has nearly straight ones, so that one step of Euler's draws nearly what many do
Command  python -m jensen.experiments.claims.rectified_flow
"""

if __name__ == "__main__":  # before the imports, in which Ctrl-C is then one line too
    from jensen.experiments.reproduce import launch

    launch(__file__)

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, NamedTuple

import torch
import tyro
from matplotlib.figure import Figure
from torch import Tensor

from jensen.core import keys
from jensen.estimators.diagnostics import two_sample
from jensen.experiments.claims.checked import check_at_least
from jensen.experiments.claims.compared import check_seeds
from jensen.experiments.claims.computed import mean_and_error
from jensen.experiments.data.points import PointData
from jensen.experiments.programs.finished import FinishedRun, read_run
from jensen.experiments.programs.flow import Flow
from jensen.experiments.report.drawing import panels, png
from jensen.experiments.report.points import wasserstein
from jensen.experiments.run import files
from jensen.experiments.run.command import command
from jensen.experiments.run.folder import REPORT
from jensen.experiments.run.kept import finished
from jensen.experiments.run.settings import Run

STEPS = (1, 2, 8)  # of Euler's
KEY = keys.key(31)


@dataclass(frozen=True)
class Settings:
    """Train a flow and its reflows, over several seeds, and draw from each by few steps and by many."""

    data: Literal["moons", "ring", "grid"] = "moons"
    """Points of the plane."""
    out: Path = Path("runs/rectified-flow")
    """Folder of a run per stage and seed, of rows.jsonl and a figure; a run that is there is gone on with."""
    reflows: int = 1
    """Stages after the first, each on the pairs of the one before."""
    seeds: int = 3
    """Runs of each stage."""
    steps: int = 6000
    """Of training."""
    hidden: tuple[int, ...] = (128, 128, 128)
    """Widths of the field's hidden layers."""
    draws: int = 1000
    """Points that are compared with as many of the test data."""
    compile: bool = True
    """Compile the step with torch.compile."""

    def check(self) -> None:
        """Raises an InputError for what cannot work."""
        check_seeds(self.seeds)
        check_at_least(self, reflows=1, steps=1, draws=2)
        options(0, 0, self).check()


class Drawn(NamedTuple):
    """What a stage's draws are worth by a number of steps."""

    stage: int
    seed: int
    steps: int  # of Euler's, or 0 for the solver of the run
    bend: float  # mean |x_1 - x_0 - velocity|² along paths
    wasserstein: float  # of the draws and test data
    of_data: float  # of two samples of the test data
    p_value: float  # of a test of these two samples


def main(argv: list[str] | None = None) -> None:
    """The command line."""
    with command("run it again to go on", "--draws"):
        settings = tyro.cli(Settings, args=argv, prog="python -m jensen.experiments.claims.rectified_flow")
        settings.check()
        rows = run(settings)
        print(table(rows, settings))
        print(f"\nruns, rows and figure in {settings.out}")


def run(settings: Settings) -> list[Drawn]:
    """A row per stage, seed and number of steps."""
    files.make(settings.out)
    rows, shown = [], {}
    for seed in range(settings.seeds):
        for stage in range(1 + settings.reflows):
            done = finished("flow", options(stage, seed, settings), there)
            for steps in (*STEPS, 0):
                row, shown[stage, steps] = drawn(done, stage, seed, steps, settings.draws)
                rows.append(row)
    files.write_atomically(settings.out / "rectified-flow.png", png(figure(shown, settings)))
    files.write_rows(settings.out / "rows.jsonl", [row._asdict() for row in rows])
    return rows


def folder(stage: int, seed: int, settings: Settings) -> Path:
    return settings.out / f"stage-{stage}-{seed}"


def options(stage: int, seed: int, settings: Settings) -> Flow:
    """The run of a stage, on the pairs of the one before it."""
    return Flow(
        points=PointData(data=settings.data), hidden=settings.hidden,
        straighten=folder(stage - 1, seed, settings) if stage else None,
        run=Run(
            steps=settings.steps, batch=256, average=0.999, lr_final=0.01, seed=seed, compile=settings.compile,
            checkpoint_every=settings.steps, out=folder(stage, seed, settings),
        ),
    )  # fmt: skip


def there(path: Path) -> FinishedRun | None:
    """The run in a folder; None for one that has not left everything."""
    return read_run(path) if (path / REPORT).exists() else None


@torch.no_grad()
def drawn(done: FinishedRun, stage: int, seed: int, steps: int, n: int) -> tuple[Drawn, Tensor]:
    """Judges n draws, (n, 2), from starts that all stages of a seed have in common."""
    test, params = done.prepared.data.test, done.params["model"]
    model = done.settings.model(test.shape[1])
    start_key, test_key = keys.split(keys.fold_in(KEY, seed))
    start = keys.normal(start_key, (1, n, test.shape[1]), test.dtype)[0]
    x = model.transported(params, start, steps, "euler") if steps else model.transported(params, start)
    n = min(n, len(test) // 2)
    data, other = test[:n], test[n : 2 * n]
    row = Drawn(
        stage, seed, steps, model.straightness(params, start).mean().item(), wasserstein(x[:n], data),
        wasserstein(other, data), two_sample(x[:n], data, test_key).p_value.item(),
    )  # fmt: skip
    return row, x


def table(rows: Sequence[Drawn], settings: Settings) -> str:
    """A line per stage: its bend, and the distance and least p-value of its draws by steps, over seeds."""
    of_data = mean_and_error([row.of_data for row in rows])[0]
    head = f"{settings.data}, {settings.steps} steps, {settings.seeds} seeds"
    names = [f"{steps} of Euler's" for steps in STEPS] + ["20 of rk4"]
    lines = [
        f"{head:<32}{'bend':>16}" + "".join(f"{name:>24}" for name in names),
        f"  Wasserstein-1 (least p-value of two samples): {of_data:.3f} of data",
    ]
    for stage in range(1 + settings.reflows):
        own = [row for row in rows if row.stage == stage]
        bend = mean_and_error([row.bend for row in own if row.steps == 0])
        cells = []
        for steps in (*STEPS, 0):
            mean, error = mean_and_error([row.wasserstein for row in own if row.steps == steps])
            least = min(row.p_value for row in own if row.steps == steps)
            cells.append(f"{mean:.3f} ± {error:.3f} (p {least:.2f})")
        name = "flow matching" if stage == 0 else f"reflow {stage}"
        lines.append(f"  {name:<30}{f'{bend[0]:.3f} ± {bend[1]:.3f}':>16}" + "".join(f"{cell:>24}" for cell in cells))
    return "\n".join(lines)


def figure(shown: dict[tuple[int, int], Tensor], settings: Settings) -> Figure:
    """A row of panels for each stage of the last seed, a panel for each number of steps."""
    counts = (*STEPS, 0)
    canvas, axes = panels(1 + settings.reflows, len(counts), 2.5 * len(counts), 2.6 * (1 + settings.reflows))
    for stage in range(1 + settings.reflows):
        for axis, steps in zip(axes[stage], counts, strict=True):
            axis.scatter(*shown[stage, steps].T, s=2, alpha=0.4, linewidths=0)
            name = "flow matching" if stage == 0 else f"reflow {stage}"
            axis.set_title(f"{name}, {f'{steps} of Euler' if steps else '20 of rk4'}", fontsize=9)
            axis.set(xlim=(-1.5, 2.5), ylim=(-1.1, 1.6), aspect="equal")
    return canvas

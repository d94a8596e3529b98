"""Train an encoder's start over tasks, by Reptile and jointly, and take steps from it on new tasks.

Claim    a start learned by Reptile (Nichol et al., 2018) is worse than the joint one before any step, and nearer to
         log p(x) after one step and after five; a start that has learned nothing is far from both
Command  python -m jensen.experiments.claims.reptile
"""

if __name__ == "__main__":  # before the imports, in which Ctrl-C is then one line too
    from jensen.experiments.reproduce import launch

    launch(__file__)

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import tyro

from jensen.experiments.programs.meta import drawing
from jensen.experiments.programs.reptile import Reptile
from jensen.experiments.report.drawing import png
from jensen.experiments.run import files
from jensen.experiments.run.command import command
from jensen.experiments.run.errors import InputError
from jensen.experiments.run.folder import REPORT
from jensen.experiments.run.kept import findings, finished
from jensen.experiments.run.settings import Run

NOTHING = "at the prior"  # the start that has learned nothing, as reports have it


@dataclass(frozen=True)
class Settings:
    """Compare starts of an encoder by the bounds that steps on new tasks lead to."""

    out: Path = Path("runs/reptile")
    """Folder of the two runs, of rows.jsonl and of a figure; a run that is there is gone on with."""
    inner_steps: int = 5
    """Of Reptile in each task; the joint start takes one."""
    epochs: int = 30
    """Of each run."""
    compile: bool = False
    """Compile the update with torch.compile."""

    def check(self) -> None:
        """Raises an InputError for what cannot work."""
        if self.inner_steps < 2:
            raise InputError(f"expected --inner-steps of at least 2, got {self.inner_steps}: 1 is the joint start")


class Gap(NamedTuple):
    """log p(x) less the bound after steps on new tasks, in nats per datum, with its standard error over tasks."""

    start: str
    steps: int
    gap: float
    error: float


def main(argv: list[str] | None = None) -> None:
    """The command line."""
    with command("run it again to go on", "--inner-steps"):
        settings = tyro.cli(Settings, args=argv, prog="python -m jensen.experiments.claims.reptile")
        settings.check()
        print(table(run(settings)))
        print(f"\nruns, rows and figure in {settings.out}")


def run(settings: Settings) -> list[Gap]:
    """A row per start and number of steps."""
    each = {"reptile": options("reptile", settings.inner_steps, settings), "joint": options("joint", 1, settings)}
    for one in each.values():
        one.check()
    files.make(settings.out)
    found = {name: finished("reptile", one, read) for name, one in each.items()}
    rows = [gap._replace(start=name) for name, gaps in found.items() for gap in gaps if gap.start != NOTHING]
    rows += [gap for gap in found["joint"] if gap.start == NOTHING]
    files.write_atomically(settings.out / "reptile.png", png(drawing([gap._asdict() for gap in rows])))
    files.write_rows(settings.out / "rows.jsonl", [gap._asdict() for gap in rows])
    return rows


def options(name: str, inner_steps: int, settings: Settings) -> Reptile:
    """The run of a start: both see the same tasks in the same order."""
    place = Run(epochs=settings.epochs, batch=20, compile=settings.compile, out=settings.out / name)
    return Reptile(inner_steps=inner_steps, run=place)


def read(folder: Path) -> list[Gap] | None:
    """What a finished run's report says; None of one that has not finished."""
    if not (folder / REPORT).is_file():
        return None
    return [Gap(**row) for row in findings(folder)["tasks"]]


def table(rows: Sequence[Gap]) -> str:
    """Gaps by steps and start."""
    starts = list(dict.fromkeys(row.start for row in rows))
    lines = [f"{'nats short of log p(x)':<28}" + "".join(f"{start:>20}" for start in starts)]
    for steps in dict.fromkeys(row.steps for row in rows):
        found = {row.start: f"{row.gap:.3f} ± {row.error:.3f}" for row in rows if row.steps == steps}
        lines.append(f"{f'after {steps} steps':<28}" + "".join(f"{found[start]:>20}" for start in starts))
    return "\n".join(lines)

"""A run from its settings to its report: whatever is trained, the folder, the progress bar and the report are these."""

import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import Field
from pathlib import Path
from typing import ClassVar, Protocol, cast

from matplotlib.figure import Figure
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from torch import Tensor

from jensen.core import keys, trees
from jensen.core.contracts import can
from jensen.core.trees import Params, Tree
from jensen.experiments.report.curves import training
from jensen.experiments.report.drawing import png
from jensen.experiments.run import checkpoints, files, folder, metrics
from jensen.experiments.run.command import echo
from jensen.experiments.run.denormals import flushed
from jensen.experiments.run.errors import InputError, InterruptError, NonFiniteError
from jensen.experiments.run.folder import FIGURES, RunFolder
from jensen.experiments.run.loop import Loop, Watch, fit
from jensen.experiments.run.program import Data, Finding, Prepared, Program, Row
from jensen.experiments.run.ranks import Ranks, joined
from jensen.experiments.run.settings import Run

SHARE = 0.1  # of the time that drawing at checkpoints may take


class Filed(Protocol):
    """A program that leaves texts of its own in the run's folder, such as a tokenizer."""

    def files(self) -> Mapping[str, str]:
        """By their names."""
        ...


class Settings(Protocol):
    """What a kind of run is set by: frozen dataclasses, as `programs.KINDS` has them."""

    __dataclass_fields__: ClassVar[dict[str, Field[object]]]

    @property
    def run(self) -> Run: ...
    def check(self) -> None: ...
    def prepare(self) -> Prepared: ...


def start(kind: str, settings: Settings) -> list[Finding]:
    """A new run, in a folder of its own. Of several ranks the first alone makes it, writes and finds something."""
    with flushed(), joined(settings.run.device) as ranks:
        prepared = settings.prepare()
        out = settings.run.out
        if ranks.restarts and out is not None and (out / folder.CONFIG).is_file():
            return _resumed(out, settings, prepared, ranks)
        if not ranks.first:
            return _followed(Path(ranks.text(str)), settings, prepared, ranks)
        path = out or folder.default(kind)
        with folder.created(path, settings, digest(prepared)) as run_folder:
            ranks.text(lambda: str(path))
            return _carried_out(settings, prepared, run_folder, ranks)


def go_on(path: Path, settings: Settings) -> list[Finding]:
    """A run that a folder holds, under settings that may differ in what is free to change; on any number of ranks."""
    with flushed(), joined(settings.run.device) as ranks:
        return _resumed(path, settings, settings.prepare(), ranks)


def _resumed(path: Path, settings: Settings, prepared: Prepared, ranks: Ranks) -> list[Finding]:
    if not ranks.first:
        return _followed(Path(ranks.text(str)), settings, prepared, ranks)
    with folder.resumed(path, settings, digest(prepared)) as run_folder:
        ranks.text(lambda: str(path))
        return _carried_out(settings, prepared, run_folder, ranks)


def _followed(path: Path, settings: Settings, prepared: Prepared, ranks: Ranks) -> list[Finding]:
    """A rank's share of a run that the first one speaks for."""
    where = RunFolder(path, settings, digest(prepared))
    try:
        fit(prepared.program, settings.run, prepared.train, prepared.held_out, where, ranks=ranks)
    except InterruptError as stop:
        sys.exit(stop.exit_code)
    except NonFiniteError:
        sys.exit(2)
    return []


def digest(prepared: Prepared) -> str:
    """The sha256 of the data that a run is trained, scored and judged on, by which its checkpoints know them again."""
    data = [leaf for leaf in trees.leaves(prepared.data) if isinstance(leaf, Tensor)]
    return checkpoints.digest({"train": prepared.train, "held_out": prepared.held_out, "data": data})


def _carried_out(
    settings: Settings, prepared: Prepared[Program, Data, Data], where: RunFolder, ranks: Ranks
) -> list[Finding]:
    console = Console(highlight=False, markup=False)
    echo(f"run folder {where.path}")
    program, run, target = prepared.program, settings.run, where.path / FIGURES
    device = trees.leaves(prepared.train)[0].device
    draw_key, report_key = keys.split(keys.fold_in(keys.key(run.seed, device), 1))

    def draw(params: Params, state: Tree) -> None:
        figures = program.figures(params, state, prepared.data, draw_key)
        rows = cast(list[Row], metrics.read(where.path))
        _draw({"training": training(rows), **figures}, where)

    watched = Sparingly(draw, SHARE)

    with _bar(console) as bar:
        task = bar.add_task("compiling" if run.compile else "starting", total=None, value="")

        def show(step: int, total: int, row: Row) -> None:
            loss = row.get("loss")
            value = f"loss {loss:.2f}" if isinstance(loss, float) else ""
            bar.update(task, description="training", completed=step, total=total, value=value)
            bar.refresh()

        bar.refresh()
        loop = Loop(program, run, prepared.train, prepared.held_out, where, Watch(show, watched), ranks)
        for name, content in program.files().items() if can(program, Filed) else ():
            files.write_atomically(where.path / name, content.encode(), where.onwards)
        with _timed(where, "training_s"):
            fitted = loop.fit()
    if run.shard and ranks.size > 1:
        own, every = (size / 2**20 for size in loop.kept)
        echo(f"{'shards':<28}{own:>9.2f} MiB of parameters and moments at a rank, of {every:.2f} MiB in all")
    with console.status("evaluating"), _timed(where, "evaluation_s"):
        findings = program.report(fitted.params, fitted.state, prepared.data, report_key)
        draw(fitted.params, fitted.state)
        _draw({finding.name: finding.figure for finding in findings if finding.figure is not None}, where)
    text = "\n".join(finding.summary for finding in findings)
    files.write_atomically(where.path / folder.REPORT_TEXT, text.encode(), where.onwards)
    numbers = {finding.name: finding.rows for finding in findings if finding.rows}
    step = fitted.progress.step
    report = {"steps": step, "checkpoint": files.digest(folder.step_path(where.path, step)), "findings": numbers}
    files.write_json(where.path / folder.REPORT, report, where.onwards)  # the last: a run that has it has finished
    spent = where.add_seconds(training_s=0.0, evaluation_s=0.0)
    seconds = f"{spent['training_s']:>9.1f} s training, {spent['evaluation_s']:.1f} s evaluation and figures"
    compiled = " (with compilation)" if run.compile else ""
    echo(f"{text}{'time':<28}{seconds}{compiled}\n{'figures':<28}{target}")
    return findings


class Sparingly:
    """A function that is called where its calls have taken less than a share of the time since the first was asked."""

    def __init__(self, f: Callable[[Params, Tree], None], share: float):
        self.f, self.share = f, share
        self.began, self.spent = time.monotonic(), 0.0

    def __call__(self, params: Params, state: Tree) -> None:
        now = time.monotonic()
        if self.spent <= self.share * (now - self.began):
            self.f(params, state)
            self.spent += time.monotonic() - now


@contextmanager
def _timed(where: RunFolder, name: str) -> Iterator[None]:
    """Adds the time that is spent within to the run's, however it ends, once it has begun."""
    began = time.monotonic()
    try:
        yield
    finally:
        if where.begun:
            with suppress(InputError):  # a disk that is full has an error of its own
                where.add_seconds(**{name: time.monotonic() - began})


def _draw(figures: dict[str, Figure], where: RunFolder) -> None:
    target = where.path / FIGURES
    files.make(target, f"move it away, {where.onwards}")
    for name, figure in figures.items():
        files.write_atomically(target / f"{name}.png", png(figure), where.onwards)


def _bar(console: Console) -> Progress:
    texts = [TextColumn(field, markup=False) for field in ("{task.description}", "{task.fields[value]}")]
    columns = (texts[0], BarColumn(), MofNCompleteColumn(), texts[1], TimeElapsedColumn(), TimeRemainingColumn())
    return Progress(*columns, console=console, auto_refresh=False)

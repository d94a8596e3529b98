"""A run's folder: whose it is, what is in it, and which of its checkpoints a run goes on from.

    config.json    metrics.jsonl    step-000500.safetensors ...
    figures/       report.txt       report.json    timing.json

The report is the last that is written, so that a run that has one has finished; a run that goes on loses it first. A
run that is refused leaves the folder as it was.
"""

import itertools
import json
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from torch import Tensor

from jensen.experiments.run import checkpoints, files, metrics
from jensen.experiments.run.checkpoints import Checkpoint
from jensen.experiments.run.config import decisive, from_json, to_json
from jensen.experiments.run.errors import InputError
from jensen.experiments.run.files import Json
from jensen.experiments.run.lock import locked
from jensen.experiments.run.replacement import MANIFEST

if TYPE_CHECKING:
    from _typeshed import DataclassInstance as Settings

S = TypeVar("S", bound="Settings")

CONFIG, TIMING, FIGURES = "config.json", "timing.json", "figures"
REPORT, REPORT_TEXT, EVALUATION = "report.json", "report.txt", "evaluation"
STEP = re.compile(r"step-(\d{6,})\.safetensors")


@dataclass(frozen=True)
class RunFolder:
    """The folder of a run of these settings on these data, which its checkpoints must be of too."""

    path: Path
    settings: "Settings"
    data: str  # the digest of its data

    @property
    def onwards(self) -> str:
        """What to do once the reason of a failure is gone."""
        return f"then go on from the last checkpoint with --resume {self.path}"

    def begin(self, keep: int) -> None:
        """Before the first step, once nothing is left that could refuse the run.

        Its reports will be of other parameters and are removed, as are checkpoints that it does not keep.
        """
        for path in (self.path, self.path / EVALUATION):
            for name in (REPORT, REPORT_TEXT):
                try:
                    (path / name).unlink(missing_ok=True)
                except OSError as error:
                    raise files.unwritten(path / name, error, self.onwards) from error
        values = to_json(self.settings)
        files.write_json(self.path / CONFIG, {**values, "checksum": _checksum(values)}, self.onwards)
        self.prune(keep)

    def save(self, step: int, tensors: Mapping[str, Tensor], state: Mapping[str, Json], keep: int) -> None:
        """The checkpoint after a step; of those of other steps, the last `keep` - 1 before it stay."""
        checkpoint = Checkpoint(tensors, state, decisive(self.settings), self.data)
        checkpoints.save(step_path(self.path, step), checkpoint, self.onwards)
        self.prune(keep)

    def prune(self, keep: int) -> None:
        """Removes all checkpoints but the last ones."""
        for path in series(self.path)[:-keep]:
            with suppress(OSError):  # a checkpoint too many is no reason to end a run
                path.unlink()

    def latest(self) -> Path | None:
        """The checkpoint that the run goes on from."""
        return next(reversed(series(self.path)), None)

    def load(
        self, path: Path, like: Mapping[str, Tensor] | None = None, cure: str | None = None
    ) -> tuple[dict[str, Tensor], Mapping[str, Json]]:
        """The tensors and the state of a checkpoint of this run; InputError as `checkpoints.load`."""
        found = checkpoints.load(path, like=like, settings=self.settings, data=self.data, cure=cure or self.cure(path))
        return dict(found.tensors), found.state

    def cure(self, path: Path) -> str:
        """What to do about a checkpoint that cannot be used."""
        there = series(self.path)
        if path not in there:
            return "restore it, or train again"
        before = there[: there.index(path)]
        return f"remove it to go on from {before[-1].name}" if before else "remove it to start over"

    def check_finite(self, path: Path, tensors: Mapping[str, Tensor]) -> None:
        """InputError for the first tensor of a checkpoint that holds NaN or infinity."""
        checkpoints.check_finite(path, tensors, self.cure(path))

    @property
    def begun(self) -> bool:
        return (self.path / CONFIG).is_file()

    @property
    def finished(self) -> bool:
        return (self.path / REPORT).is_file()

    def add_seconds(self, **seconds: float) -> dict[str, float]:
        """Adds what has been spent, in s by name, to timing.json; the totals over all processes of the run."""
        total = dict.fromkeys(seconds, 0.0)
        with suppress(InputError):  # none yet, or a damaged one: no reason to lose a report
            stored = files.read_json(self.path / TIMING, "")
            if isinstance(stored, dict):
                total |= {name: value for name, value in stored.items() if type(value) is float}
        total |= {name: total[name] + spent for name, spent in seconds.items()}
        files.write_json(self.path / TIMING, total, self.onwards)
        return total


def default(*names: str) -> Path:
    """runs/<time>-<name>-<name>, with a number where that is taken; it is made, so that no other run takes it."""
    name = "-".join((f"{datetime.now():%Y-%m-%d-%H%M%S}", *names))
    files.make(Path("runs"))
    for i in itertools.count(1):
        path = Path("runs") / (name if i == 1 else f"{name}-{i}")
        with suppress(FileExistsError):
            path.mkdir()
            return path
    raise AssertionError


@contextmanager
def created(path: Path, settings: "Settings", data: str) -> Iterator[RunFolder]:
    """A new run's folder, this process's alone. InputError where there is a run already, or parts of one."""
    files.make(path)
    with locked(path):
        if (path / CONFIG).exists():
            raise InputError(f"{path} holds a run: go on with --resume {path}, or choose another --out")
        names = (metrics.NAME, REPORT, REPORT_TEXT, TIMING, FIGURES, EVALUATION)
        there = [part.name for part in (*series(path), *(path / name for name in names)) if part.exists()]
        if there:
            raise InputError(f"{path} holds {there[0]} of a run without its {CONFIG}: choose another --out")
        yield RunFolder(path, settings, data)


@contextmanager
def resumed(path: Path, settings: "Settings", data: str) -> Iterator[RunFolder]:
    """The folder of a run that goes on, with the free ones of its settings as they are now; this process's alone."""
    with opened(path):
        yield RunFolder(path, settings, data)


@contextmanager
def opened(path: Path) -> Iterator[None]:
    """A run's folder is this process's alone. InputError where there is no run, or another process is at it."""
    _check_run(path)
    with locked(path):
        yield


def read_config(path: Path, classes: type[S] | tuple[type[S], ...]) -> S:
    """The settings of the run in a folder. InputError for what is missing, damaged or, by its `check`, impossible."""
    _check_run(path)

    def parsed(content: bytes) -> S:
        values = files.parse(content)
        if isinstance(values, dict) and "schema" in values and values.pop("checksum", None) != _checksum(values):
            raise ValueError("its checksum is not that of its content")
        settings = from_json(classes, values)
        check = getattr(settings, "check", None)
        if check is not None:
            check()
        return settings

    return files.read(path / CONFIG, parsed, "restore it, or start a new run")


def step_path(path: Path, step: int) -> Path:
    """The checkpoint after a step."""
    return path / f"step-{step:06d}.safetensors"


def series(path: Path) -> list[Path]:
    """The checkpoints after steps, from the first to the last."""
    found = {each: STEP.fullmatch(each.name) for each in path.iterdir()}
    steps = {each: int(match[1]) for each, match in found.items() if match}
    return sorted(steps, key=steps.__getitem__)


def _check_run(path: Path) -> None:
    if (path / MANIFEST).is_file():
        raise InputError(f"{path} holds an export, or another part of a run: pass the folder of the run itself")
    if not (path / CONFIG).is_file():
        raise InputError(f"{path} holds no run: pass the folder that has its {CONFIG}")


def _checksum(values: Json) -> str:
    """Of config.json: an option changed by hand in it would be taken for the run's own."""
    return files.digest(json.dumps(values, sort_keys=True).encode())

"""Runs in folders of their own that are trained once: started, gone on with where they were left, or only read."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar, cast

from jensen.experiments.run import config, files, session
from jensen.experiments.run.errors import InputError
from jensen.experiments.run.folder import CONFIG, REPORT, TIMING, read_config
from jensen.experiments.run.session import Settings

T = TypeVar("T")


def finished(kind: str, run: Settings, outcome: Callable[[Path], T | None]) -> T:
    """What `outcome` reads in the folder run.run.out; where that is None, the run is trained first, or gone on with."""
    folder = run.run.out
    assert folder is not None
    begun = (folder / CONFIG).exists()
    if begun:
        check_same(folder, run)
    found = outcome(folder)
    if found is None:
        session.go_on(folder, run) if begun else session.start(kind, run)
        found = outcome(folder)
        assert found is not None, f"{folder} has no report after its run"
    return found


def check_same(folder: Path, run: Settings) -> None:
    """InputError where the run in the folder is another one."""
    saved = read_config(folder, type(run))
    apart = config.differences(saved, run)
    for name in () if apart else ("epochs", "steps"):
        theirs, ours = getattr(saved.run, name), getattr(run.run, name)
        apart = apart or (f"has --{name} {theirs} where this run has {ours}" if theirs != ours else "")
    if apart:
        raise InputError(f"{folder} {apart}: choose another --out")


def findings(folder: Path) -> dict[str, list[dict[str, Any]]]:
    """The rows of a finished run's report, by the name of their finding. InputError where it cannot be read."""
    return cast(Any, files.read_json(folder / REPORT, "train again"))["findings"]


def training_seconds(folder: Path) -> float:
    """How long a run's training took, in all of its sessions. InputError where it is not known."""
    return cast(Any, files.read_json(folder / TIMING, "train again"))["training_s"]

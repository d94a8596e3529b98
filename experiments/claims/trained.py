"""Runs that a claim compares: each in a folder of its own, trained once, gone on with where it was left."""

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple, TypeVar, cast

from jensen.experiments.run import config, files, session
from jensen.experiments.run.errors import InputError
from jensen.experiments.run.folder import CONFIG, REPORT, TIMING, read_config
from jensen.experiments.run.session import Settings

T = TypeVar("T")


class Trained(NamedTuple):
    """What a run came to on test data, in nats per datum."""

    elbo: float
    nll: float  # NaN of a model whose report has none, such as one of codes
    error: float  # Monte Carlo, of the NLL
    training_s: float


def trained(kind: str, run: Settings) -> Trained:
    """What the run in its folder, run.run.out, came to; it is trained, or gone on with, where it has not finished."""
    return finished(kind, run, outcome)


def finished(kind: str, run: Settings, outcome: Callable[[Path], T | None]) -> T:
    """The same of what `outcome` reads in a folder, None where it is not there yet."""
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


def outcome(folder: Path) -> Trained | None:
    """What the run in the folder came to; None for one that has not left everything."""
    try:
        test, timing = judged(folder), cast(Any, files.read_json(folder / TIMING, "train again"))
        nll, error = (test.get(name, math.nan) for name in ("nll", "error"))
        return Trained(test["elbo"], nll, error, timing["training_s"])
    except (InputError, TypeError, KeyError, ValueError):
        return None


def judged(folder: Path) -> dict[str, float]:
    """What a finished run's report says of test data: a bound's terms beside what `Trained` has."""
    (test,) = cast(Any, files.read_json(folder / REPORT, "train again"))["findings"]["test"]
    return test

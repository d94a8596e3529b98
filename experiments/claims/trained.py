"""Runs that a claim compares: each in a folder of its own, trained once, gone on with where it was left."""

import math
from pathlib import Path
from typing import NamedTuple

from jensen.experiments.run.errors import InputError
from jensen.experiments.run.kept import findings, finished, training_seconds
from jensen.experiments.run.session import Settings


class Trained(NamedTuple):
    """What a run came to on test data, in nats per datum."""

    elbo: float
    nll: float  # NaN of a model whose report has none, such as one of codes
    error: float  # Monte Carlo, of the NLL
    training_s: float


def trained(kind: str, run: Settings) -> Trained:
    """What the run in its folder, run.run.out, came to; it is trained, or gone on with, where it has not finished."""
    return finished(kind, run, outcome)


def outcome(folder: Path) -> Trained | None:
    """What the run in the folder came to; None for one that has not left everything."""
    try:
        test, seconds = judged(folder), training_seconds(folder)
        nll, error = (test.get(name, math.nan) for name in ("nll", "error"))
        return Trained(test["elbo"], nll, error, seconds)
    except (InputError, TypeError, KeyError, ValueError):
        return None


def judged(folder: Path) -> dict[str, float]:
    """What a finished run's report says of test data: a bound's terms beside what `Trained` has."""
    (test,) = findings(folder)["test"]
    return test

"""What a trial comes to: the numbers of its report, or why it failed."""

import io
import math
import traceback
from collections.abc import Mapping
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from typing import Any, NamedTuple, cast

from jensen.experiments.run import metrics
from jensen.experiments.run.errors import InputError, reason
from jensen.experiments.run.folder import REPORT
from jensen.experiments.run.kept import findings, finished, training_seconds
from jensen.experiments.sweeps.plan import Trial

HELD_OUT = "held-out score"


class Ended(NamedTuple):
    """A trial that has ended: its numbers by name, or an error."""

    trial: Trial
    numbers: Mapping[str, float]
    error: str | None = None

    def row(self) -> dict[str, Any]:
        """As JSON has it."""
        varied = dict(self.trial.varied)
        return {"settings": varied, "seed": self.trial.seed, "error": self.error, "numbers": dict(self.numbers)}


def carried_out(trial: Trial) -> Ended:
    """Trains, or goes on, and reads the report; what it would print is dropped. Whatever it raises is its error."""
    nowhere = io.StringIO()
    try:
        with redirect_stdout(nowhere), redirect_stderr(nowhere):
            kind, settings = trial.settings()
            return Ended(trial, finished(kind, settings, numbers))
    except KeyboardInterrupt:
        raise
    except InputError as error:
        return Ended(trial, {}, reason(error))
    except Exception as error:
        where = traceback.extract_tb(error.__traceback__)[-1]
        return Ended(trial, {}, f"{type(error).__name__}: {reason(error)} ({Path(where.filename).name}:{where.lineno})")


def numbers(folder: Path) -> dict[str, float] | None:
    """A finished run's numbers: its report's that are finite, its last held-out score, its seconds. Else None."""
    if not (folder / REPORT).is_file():
        return None
    found: dict[str, float] = {}
    for row in metrics.read(folder):
        if row["kind"] == "held-out" and isinstance(row.get("score"), float):
            found[HELD_OUT] = cast(float, row["score"])
    for rows in findings(folder).values():
        for row in rows:
            label = [str(value) for value in row.values() if isinstance(value, str)]
            found |= {" ".join([*label, name]): value for name, value in row.items() if _is_number(value)}
    return found | {"training_s": training_seconds(folder)}


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)

"""Runs that differ in one thing, each over several seeds: what they came to, and a table of means with their errors."""

import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple, cast

import torch

from jensen.experiments.claims.trained import trained
from jensen.experiments.run import files
from jensen.experiments.run.errors import InputError
from jensen.experiments.run.kept import findings
from jensen.experiments.run.session import Settings


class Contender(NamedTuple):
    """A way to train: its kind, by the name that experiments.train has for it, and the settings of a seed."""

    kind: str
    settings: Callable[[int, Path], Settings]  # seed, folder


class Row(NamedTuple):
    """What a run came to: numbers of its report by name, in nats per datum where they are nats."""

    name: str
    seed: int
    numbers: dict[str, float]


class Column(NamedTuple):
    """A number of the table, or with `gain` its difference to the first contender's of the same seed."""

    head: str
    number: str
    digits: int = 2
    gain: bool = False


def check_seeds(seeds: int) -> None:
    """InputError for too few to have an error."""
    if seeds < 2:
        raise InputError(f"--seeds {seeds}: expected at least 2, one has no standard error")


def compared(contenders: Mapping[str, Contender], seeds: int, out: Path) -> list[Row]:
    """Trains each contender with each seed in a folder of its own, once; one that is there is gone on with.

    InputError, before anything is trained, for settings that cannot work.
    """
    each = [
        (name, seed, one.kind, one.settings(seed, place(out, name, seed)))
        for seed in range(seeds)
        for name, one in contenders.items()
    ]
    for *_, settings in each:
        settings.check()
    files.make(out)
    rows = []
    for name, seed, kind, settings in each:
        done = trained(kind, settings)
        rows.append(Row(name, seed, {**numbers(cast(Path, settings.run.out)), **done._asdict()}))
    files.write_rows(out / "rows.jsonl", [{"name": r.name, "seed": r.seed, **r.numbers} for r in rows])
    return rows


def place(out: Path, name: str, seed: int) -> Path:
    """The folder of a contender's run."""
    return out / f"{name.replace(' ', '-')}-{seed}"


def numbers(folder: Path) -> dict[str, float]:
    """What the report says in numbers: of the test data and, where their factors are known, of all of them."""
    found = [rows[0] for name, rows in findings(folder).items() if name in ("test", "disentanglement")]
    return {name: float(value) for row in found for name, value in row.items() if isinstance(value, int | float)}


def over_seeds(values: Sequence[float]) -> tuple[float, float]:
    """Mean and standard error."""
    t = torch.tensor(values, dtype=torch.float64)
    return t.mean().item(), t.std().item() / len(t) ** 0.5


def values(rows: Sequence[Row], name: str, column: Column) -> list[float]:
    """A contender's, by seed; NaN for what it does not have."""
    first = {row.seed: row.numbers.get(column.number, math.nan) for row in rows if row.name == rows[0].name}
    own = [row for row in rows if row.name == name]
    return [row.numbers.get(column.number, math.nan) - (first[row.seed] if column.gain else 0.0) for row in own]


def table(title: str, rows: Sequence[Row], columns: Sequence[Column]) -> str:
    """A line per contender, in the order of the rows; errors are standard errors over seeds."""
    lines = [f"{title:<40}" + "".join(f"{column.head:>17}" for column in columns)]
    for name in dict.fromkeys(row.name for row in rows):
        cells = []
        for column in columns:
            mean, error = over_seeds(values(rows, name, column))
            sign, digits = "+" if column.gain else "", column.digits
            blank = (column.gain and name == rows[0].name) or math.isnan(mean)
            cells.append("" if blank else f"{mean:{sign}.{digits}f} ± {error:.{digits}f}")
        lines.append(f"  {name:<38}" + "".join(f"{cell:>17}" for cell in cells))
    return "\n".join(lines)

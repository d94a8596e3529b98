"""metrics.jsonl: one row per line, of training or of held-out data, each with its step and its kind."""

import hashlib
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import cast

from jensen.experiments.run import files
from jensen.experiments.run.errors import InputError
from jensen.experiments.run.files import Json

NAME = "metrics.jsonl"
CURE = "restore it, or remove it to go on without past rows"


class Metrics:
    """Appends rows; entered at a step, it first drops what a killed run wrote beyond that.

    `digest` is the sha256 of all that is written so far: a checkpoint that keeps it knows its past rows again, and
    others are refused before anything is written.
    """

    def __init__(self, folder: Path, step: int, digest: str | None = None, onwards: str = files.AGAIN):
        self.path, self.onwards = folder / NAME, onwards
        self._kept = "".join(files.line(row) for row in read(folder) if cast(int, row["step"]) <= step).encode()
        self._hash = hashlib.sha256(self._kept)
        if digest is not None and self.path.exists() and digest != self.digest:
            raise InputError(f"{self.path} has other rows than the run wrote up to step {step}: {CURE}")

    @property
    def digest(self) -> str:
        return self._hash.hexdigest()

    def append(self, row: Mapping[str, Json]) -> None:
        """A row, with its "kind" ("train", "held-out") and "step"; numbers that are not finite are written as null."""
        content = files.line(row).encode()
        try:
            self._file.write(content)
            self._file.flush()
        except OSError as error:
            raise files.unwritten(self.path, error, self.onwards) from error
        self._hash.update(content)

    def __enter__(self) -> "Metrics":
        files.write_atomically(self.path, self._kept, self.onwards)
        self._file = self.path.open("ab")
        return self

    def __exit__(self, *_: object) -> None:
        with suppress(OSError):  # a failed append was an error already; its rest cannot be written now either
            self._file.close()


class Followed(Metrics):
    """The rows of a run whose first process writes them: this one reads what was there, and appends nothing."""

    def append(self, row: Mapping[str, Json]) -> None:
        pass

    def __enter__(self) -> "Metrics":
        return self

    def __exit__(self, *_: object) -> None:
        pass


def read(folder: Path) -> list[dict[str, Json]]:
    """The rows of a run; a last line that a kill cut short is left out. InputError for any other damage."""
    path = folder / NAME
    return files.read(path, _rows, CURE) if path.exists() else []


def _rows(content: bytes) -> list[dict[str, Json]]:
    return [_row(line) for line in content.split(b"\n")[:-1]]


def _row(line: bytes) -> dict[str, Json]:
    row = files.parse(line)
    if not isinstance(row, dict):
        raise ValueError("a row is no object")
    if type(row.get("step")) is not int or not isinstance(row.get("kind"), str):
        raise ValueError("a row has no step or no kind")
    return row

"""Data by the names of their columns: CSV with a line of names, JSON as of posteriordb, and either in a zip archive.

    table = read(Path("kidiq.json.zip"))
    table.tensor("mom_iq")                              # (434,) in float64
    reference(Path("draws.json.zip"))                   # {"beta[0]": (s,)}, counted from 0 as in Python

A column is read when it is asked for: others may be text, or have gaps.
"""

import csv
import difflib
import io
import re
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor

from jensen.experiments.run import files
from jensen.experiments.run.errors import InputError, shown

SUFFIXES = (".csv", ".json", ".csv.zip", ".json.zip")
NO_DRAWS = "expected draws as posteriordb has them, a list of chains, each a dict of equally many numbers by name"
PLACE = re.compile(r"\d+(?=[\],])")


class Table(NamedTuple):
    """Columns by name: tensors, what JSON holds, or cells of text; first_line is the file's line of the first cell."""

    source: str
    columns: Mapping[str, object]
    first_line: int = 2

    def tensor(self, name: str) -> Tensor:
        """A column in float64. InputError for one that is not there, or that holds anything but finite numbers."""
        if name not in self.columns:
            near = difflib.get_close_matches(name, self.columns, n=1)
            meant = f" (the nearest is {near[0]!r})" if near else ""
            raise InputError(
                f"{self.source} has no column {name!r}{meant}, only {shown(', '.join(self.columns))}: name one with "
                "--columns, as in --columns y=height x=age,weight"
            )
        found = self.columns[name]
        if isinstance(found, list) and all(isinstance(cell, str) for cell in found):
            found = [self._number(name, i, cell) for i, cell in enumerate(found)]
        try:
            value = torch.as_tensor(found).double()
        except (TypeError, ValueError, RuntimeError, OverflowError) as error:
            raise InputError(f"expected numbers in {name} of {self.source}, of equally long rows if several") from error
        bad = (~value.isfinite()).nonzero()
        if len(bad):
            where = f" at {bad[0].tolist()}" if value.ndim else ""
            raise InputError(f"expected finite numbers in {name} of {self.source}, got another{where}: mend it")
        return value

    def _number(self, name: str, row: int, cell: str) -> float:
        try:
            value = float(cell)
        except ValueError:
            value = torch.nan
        if not abs(value) < torch.inf:
            raise InputError(
                f"expected finite numbers in column {name} of {self.source}, got {shown(cell, 20)!r} in line "
                f"{row + self.first_line}: leave that line out, or mend it"
            )
        return value


def read(path: Path) -> Table:
    """A table of a file. InputError for a file of another kind, or that cannot be read."""
    content = files.read(path, lambda content: content, "give --data a file")
    name = path.name.lower()
    if not name.endswith(SUFFIXES):
        raise InputError(f"expected --data in {', '.join(SUFFIXES)}, got {path}: name the file after what it holds")
    if name.endswith(".zip"):
        content = _only_member(path, content)
    if ".csv" in name[-8:]:
        return Table(str(path), _columns(path, content))
    found = _json(path, content)
    if not isinstance(found, Mapping) or not found:
        raise InputError(f'{path}: expected a dict of numbers and lists by name, as {{"y": [1, 2]}}')
    return Table(str(path), found)


def reference(path: Path) -> dict[str, Tensor]:
    """Draws (s,) of each quantity, all chains one after another. InputError for a file of anything else."""
    content = files.read(path, lambda content: content, "give --reference posteriordb's draws")
    chains = _json(path, _only_member(path, content) if path.suffix == ".zip" else content)
    if not isinstance(chains, Sequence) or not chains or not all(isinstance(c, Mapping) and c for c in chains):
        raise InputError(f"{path}: {NO_DRAWS}")
    try:
        found = {
            PLACE.sub(lambda place: str(int(place[0]) - 1), name): torch.cat(
                [torch.tensor(chain[name], dtype=torch.float64) for chain in chains]  # pyright: ignore
            )
            for name in chains[0]  # pyright: ignore
        }
    except (KeyError, TypeError, ValueError, RuntimeError) as error:
        raise InputError(f"{path}: {NO_DRAWS}") from error
    if any(t.ndim != 1 for t in found.values()) or len({len(t) for t in found.values()}) > 1:
        raise InputError(f"{path}: {NO_DRAWS}")
    return found


def _columns(path: Path, content: bytes) -> dict[str, list[str]]:
    try:
        rows = [row for row in csv.reader(io.StringIO(content.decode("utf-8-sig"))) if row]
    except (UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"{path} is no text in UTF-8 with commas ({error}): save it as CSV") from error
    if len(rows) < 2:
        raise InputError(f"{path}: expected a line of names and lines of numbers below, got {len(rows)} lines")
    names = [name.strip() for name in rows[0]]
    if len(set(names)) < len(names):
        raise InputError(f"{path}: expected each column with a name of its own, got {shown(', '.join(names))}")
    for i, row in enumerate(rows):
        if len(row) != len(names):
            raise InputError(f"{path}: expected {len(names)} cells in line {i + 1}, got {len(row)}: mend it")
    return {name: [row[j] for row in rows[1:]] for j, name in enumerate(names)}


def _only_member(path: Path, content: bytes) -> bytes:
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            names = [name for name in archive.namelist() if not name.endswith("/")]
            if len(names) != 1:
                raise InputError(f"{path}: expected an archive of one file, got {len(names)}: unpack it first")
            return archive.read(names[0])
    except (zipfile.BadZipFile, NotImplementedError, RuntimeError, EOFError) as error:
        raise InputError(f"{path} is no zip archive that can be read ({error}): unpack it first") from error


def _json(path: Path, content: bytes) -> files.Json:
    try:
        return files.parse(content)
    except ValueError as error:
        raise InputError(f"{path} is no JSON ({shown(str(error))}): mend it") from error

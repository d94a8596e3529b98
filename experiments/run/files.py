"""Files that no failure leaves in part: written under a temporary name, synced, renamed. JSON is strict both ways.

A temporary name carries the process's id and its start, so that what a killed process left is known and removed by the
next one, even one that was given the same id.
"""

import errno
import hashlib
import json
import math
import os
import re
import shutil
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TypeAlias, TypeVar

from jensen.experiments.run.errors import InputError, reason, shown

Json: TypeAlias = "bool | int | float | str | Sequence[Json] | Mapping[str, Json] | None"
T = TypeVar("T")

AGAIN = "then run the command again"
STARTED = time.time_ns()
LEFTOVER = re.compile(r"\.(?P<name>.+)\.(?P<pid>\d+)-(?P<started>\d+)\.(partial|old)")
WRITABLE, ROOM, AWAY = "make it writable", "make room", "move what is there away"
CURES = {
    errno.ENOSPC: ROOM, errno.EDQUOT: ROOM, errno.EFBIG: "raise the limit on the size of files",
    errno.EACCES: WRITABLE, errno.EPERM: WRITABLE, errno.EROFS: WRITABLE,
    errno.EISDIR: AWAY, errno.ENOTDIR: AWAY, errno.EEXIST: AWAY, errno.ENOTEMPTY: AWAY,
    errno.ENAMETOOLONG: "choose a shorter name", errno.EMFILE: "raise the limit on open files",
}  # fmt: skip


def make(folder: Path, instead: str = "choose another --out", of: Path | None = None) -> None:
    """The folder, and those above it, unless they are there; what killed processes left in it is removed.

    of: what it is a part of, by which an error calls it.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        inside = error.errno == errno.ENOTDIR
        why = "a file is where a folder above it should be" if inside else reason(error)
        raise InputError(f"{folder if of is None else of} cannot be made ({why}): {instead}") from error
    sweep(folder)


def temporary(path: Path, kind: str = "partial") -> Path:
    """The name that this process gives to what is to become `path`, or was it ("old")."""
    return path.with_name(f".{path.name}.{os.getpid()}-{STARTED}.{kind}")


def write_atomically(path: Path, content: bytes, onwards: str = AGAIN) -> None:
    """The file is the old one or the new one, never a part.

    `onwards` is what to do once the reason of a failure is gone.
    """
    partial = temporary(path)
    try:
        with partial.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        partial.replace(path)
        synced(path.parent)
    except OSError as error:
        raise unwritten(path, error, onwards) from error
    finally:
        with suppress(OSError):
            partial.unlink(missing_ok=True)


def synced(folder: Path) -> None:
    """What was renamed in the folder stays so when the machine loses its power."""
    if hasattr(os, "O_DIRECTORY"):  # elsewhere a folder is no file
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def unwritten(path: Path, error: OSError, onwards: str) -> InputError:
    """One line on a failed write, with the cure that its errno asks for; parts of the path have their final names."""
    found = map(LEFTOVER.fullmatch, path.parts)
    path = Path(*(match["name"] if match else part for match, part in zip(found, path.parts, strict=True)))
    if error.errno in (errno.ENOENT, errno.ESTALE):
        return InputError(f"{path} could not be written: it was removed while the command ran: put it back, {onwards}")
    cure = CURES.get(error.errno or 0, "mend that")
    return InputError(f"{path} could not be written ({reason(error)}): {cure}, {onwards}")


def sweep(folder: Path, alone: bool = False) -> None:
    """Removes what killed processes left half-written, and puts back what they had moved away to replace it.

    `alone`: no other process writes there or below, so that a process that lives cannot have left anything.
    """
    with suppress(OSError):
        for path in list(folder.rglob(".*") if alone else folder.iterdir()):
            found = LEFTOVER.fullmatch(path.name)
            if found is None or (not alone and lives(int(found["pid"]))):
                continue
            if (int(found["pid"]), int(found["started"])) == (os.getpid(), STARTED):
                continue
            whole = path.with_name(found["name"])
            if path.suffix == ".old" and not whole.exists():
                path.rename(whole)
            elif path.is_dir():
                shutil.rmtree(path, ignore_errors=True)
            else:
                path.unlink(missing_ok=True)


def lives(pid: int) -> bool:
    """Whether another process has the id; this one may have been given it after the death of the one that is meant."""
    if pid in (0, os.getpid()):
        return False
    try:
        os.kill(pid, 0)
    except PermissionError:
        return True
    except (OSError, OverflowError):
        return False
    return True


def digest(content: bytes | Path) -> str:
    """The sha256 of bytes, or of a file that is read in parts."""
    if isinstance(content, Path):
        with content.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    return hashlib.sha256(content).hexdigest()


def finite(value: Json) -> Json:
    """The value with None for each number that is NaN or infinite: JSON has no such numbers."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {name: finite(each) for name, each in value.items()}
    if isinstance(value, Sequence) and not isinstance(value, str):
        return [finite(each) for each in value]
    return value


def line(value: Json) -> str:
    """One line of strict JSON."""
    return json.dumps(finite(value), allow_nan=False) + "\n"


def write_json(path: Path, value: Json, onwards: str = AGAIN) -> None:
    write_atomically(path, (json.dumps(finite(value), indent=2, allow_nan=False) + "\n").encode(), onwards)


def write_rows(path: Path, rows: Iterable[Mapping[str, Json]], onwards: str = AGAIN) -> None:
    """One line of JSON per row."""
    write_atomically(path, "".join(map(line, rows)).encode(), onwards)


def parse(text: str | bytes) -> Json:
    """A JSON value.

    ValueError for whatever is no strict JSON, is nested beyond reason, has a name twice, or is no number here.
    """
    try:
        return json.loads(text, parse_constant=_number, parse_float=_number, object_pairs_hook=_once)
    except (RecursionError, MemoryError) as error:
        raise ValueError("it is nested too deeply") from error


def _once(pairs: list[tuple[str, Json]]) -> Json:
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        raise ValueError(f"{shown(next(name for name in names if names.count(name) > 1))} is there twice")
    return found


def _number(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError(f"{shown(text)} is no number of JSON")
    return number


def read(path: Path, parser: Callable[[bytes], T], cure: str) -> T:
    """What a parser makes of a file. One line for a file that cannot be read, or that the parser refuses."""
    try:
        return parser(path.read_bytes())
    except InputError as error:
        raise InputError(f"{path}: {error}") from error
    except OSError as error:
        raise InputError(f"{path} cannot be read ({reason(error)}): {cure}") from error
    except (ValueError, MemoryError) as error:
        raise InputError(f"{path} is damaged ({reason(error)}): {cure}") from error


def read_json(path: Path, cure: str) -> Json:
    """The JSON value in a file. InputError, one line with the cure, for any file that holds none."""
    return read(path, parse, cure)

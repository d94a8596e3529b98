"""A folder that is swapped whole, such as an evaluation: all of it is new, or it stays as it was.

It carries a manifest of what was written, file by file with its sha256. What is not in there, or has changed since, is
the user's own: a folder that holds such a file is never replaced.
"""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from jensen.experiments.run import files
from jensen.experiments.run.errors import InputError

MANIFEST = "manifest.json"


@contextmanager
def replaced(folder: Path) -> Iterator[Path]:
    """A folder to write to, which takes the other's place when all is written. InputError as `check_replaceable`."""
    check_replaceable(folder)
    folder = folder.resolve()  # of a link, what it leads to
    partial, old = files.temporary(folder), files.temporary(folder, "old")
    files.make(partial, f"make {folder.parent} writable", folder)
    try:
        yield partial
        written = {str(path.relative_to(partial)): files.digest(path) for path in _files(partial)}
        files.write_json(partial / MANIFEST, {"files": written})
        if folder.exists():
            folder.rename(old)
            _check_own(old, folder)  # what came while all was written
        partial.rename(folder)
        files.synced(folder.parent)
    except OSError as error:
        raise files.unwritten(folder, error, files.AGAIN) from error
    finally:
        if old.exists() and not folder.exists():
            old.rename(folder)
        for rest in (partial, old):
            shutil.rmtree(rest, ignore_errors=True)


def check_replaceable(folder: Path) -> None:
    """InputError where a folder could not be written, or holds anything that `replaced` did not write."""
    if folder.exists() and not folder.is_dir():
        raise InputError(f"{folder} cannot be made (there is a file): {files.AWAY}")
    if not os.access(folder.parent, os.W_OK):
        raise InputError(f"{folder} cannot be made ({folder.parent} cannot be written): {files.WRITABLE}")
    if folder.exists():
        _check_own(folder, folder)


def _check_own(folder: Path, name: Path) -> None:
    found = foreign(folder)
    if found is not None:
        raise InputError(f"{name} holds {found}, which was not written there by this command: move it away")


def foreign(folder: Path) -> Path | None:
    """The first file or folder in it, by name, that was not written by `replaced` or has changed since."""
    there = sorted(path.relative_to(folder) for path in folder.rglob("*"))
    if not there:
        return None
    written: dict[Path, str] = {}
    if Path(MANIFEST) in there:
        stored = files.read_json(folder / MANIFEST, f"move {folder} away")
        listed = stored.get("files") if isinstance(stored, dict) else None
        if isinstance(listed, dict):
            written = {Path(name): str(sha256) for name, sha256 in listed.items()}
    above = {parent for path in written for parent in path.parents}
    for path in there:
        if path == Path(MANIFEST) or (path in above and (folder / path).is_dir()):
            continue
        if path not in written or not (folder / path).is_file() or files.digest(folder / path) != written[path]:
            return path
    return None


def _files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file())

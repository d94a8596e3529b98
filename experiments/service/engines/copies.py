"""Exports in a folder of the service's own: what a process reads again is what was loaded, whatever the user's is now.

A worker maps its parameters from there into memory too, which a file that somebody cuts short would take from it.
"""

import fcntl
import os
import shutil
import tempfile
import time
from collections.abc import Sequence
from contextlib import suppress
from itertools import count
from pathlib import Path

from jensen.experiments.deployment.manifest import MANIFEST, read_manifest
from jensen.experiments.run import files
from jensen.experiments.run.errors import InputError, reason
from jensen.experiments.service.engines.seam import Loaded

AGAIN = "export the run again"
PREFIX, LOCK = "jensen-copies-", ".lock"
YOUNG = 60.0  # seconds in which a service that starts locks its folder


class Copies:
    """By key."""

    def __init__(self) -> None:
        _sweep()
        self._room = tempfile.TemporaryDirectory(prefix=PREFIX)
        self._lock = _locked(Path(self._room.name), os.O_CREAT)
        self._origins: dict[str, Path] = {}
        self._keys = count(1)

    def folder(self, key: str) -> Path:
        return Path(self._room.name, key)

    def add(self, folders: Sequence[Path]) -> list[Loaded]:
        """Copies of exports, whose files are not checked yet. InputError for a folder without one."""
        return [self._add(folder, str(next(self._keys))) for folder in folders]

    def drop(self, *keys: str) -> None:
        for key in keys:
            shutil.rmtree(self.folder(key), ignore_errors=True)
            self._origins.pop(key, None)

    def named(self, text: str) -> str:
        """An error's text, with the user's folders for the copies."""
        for key, origin in self._origins.items():
            text = text.replace(str(self.folder(key)), str(origin))
        return text

    def close(self) -> None:
        self._room.cleanup()
        if self._lock is not None:
            os.close(self._lock)

    def _add(self, folder: Path, key: str) -> Loaded:
        manifest, copy = read_manifest(folder), self.folder(key)
        self._origins[key] = folder
        copy.mkdir()
        try:
            for name in (MANIFEST, *manifest.files):
                shutil.copyfile(folder / name, copy / name)
            return Loaded(key, files.digest(copy / MANIFEST), read_manifest(copy).functions)
        except OSError as error:
            self.drop(key)
            raise InputError(f"{folder} cannot be copied to {copy.parent} ({reason(error)}): {AGAIN}") from error


def _sweep() -> None:
    """Removes what services that were killed have left: a lock ends with its process, in whatever container."""
    for room in Path(tempfile.gettempdir()).glob(f"{PREFIX}*"):
        with suppress(OSError):
            if time.time() - room.stat().st_mtime > YOUNG and (lock := _locked(room)) is not None:
                shutil.rmtree(room, ignore_errors=True)
                os.close(lock)


def _locked(room: Path, flags: int = 0) -> int | None:
    """The descriptor of a folder's lock; None where another process has it, or there is none."""
    try:
        lock = os.open(room / LOCK, os.O_RDWR | flags, 0o600)
    except OSError:
        return None
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(lock)
        return None
    return lock

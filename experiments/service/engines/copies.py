"""Exports in a folder of the service's own: what a process reads again is what was loaded, whatever the user's is now.

A worker maps its parameters from there into memory too, which a file that somebody cuts short would take from it.
"""

import shutil
from collections.abc import Sequence
from contextlib import ExitStack
from itertools import count
from pathlib import Path

from jensen.experiments.deployment.manifest import MANIFEST, read_manifest
from jensen.experiments.deployment.rooms import room
from jensen.experiments.run import files
from jensen.experiments.run.errors import InputError, reason
from jensen.experiments.service.engines.seam import Loaded

AGAIN = "export the run again"


class Copies:
    """By key."""

    def __init__(self) -> None:
        self._stack = ExitStack()
        self._room = self._stack.enter_context(room())
        self._origins: dict[str, Path] = {}
        self._keys = count(1)

    def folder(self, key: str) -> Path:
        return self._room / key

    def add(self, folders: Sequence[Path]) -> list[Loaded]:
        """Copies of exports, whose files are not checked yet. InputError for a folder without: none is kept."""
        found: list[Loaded] = []
        try:
            for folder in folders:
                found.append(self._add(folder, str(next(self._keys))))
        except InputError:
            self.drop(*(each.key for each in found))
            raise
        return found

    def drop(self, *keys: str) -> None:
        for key in keys:
            shutil.rmtree(self.folder(key), ignore_errors=True)
            self._origins.pop(key, None)

    def named(self, text: str) -> str:
        """An error's text, with the user's folders for the copies."""
        for key in sorted(self._origins, key=int, reverse=True):  # 10 before 1, which it begins with
            text = text.replace(str(self.folder(key)), str(self._origins[key]))
        return text

    def close(self) -> None:
        self._stack.close()

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

"""Temporary folders: what a process that was killed has left is removed by the next, for its lock has ended with it."""

import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from jensen.experiments.run.errors import InputError
from jensen.experiments.run.lock import locked

PREFIX = "jensen-room-"
YOUNG = 60.0  # seconds in which whoever makes a folder locks it


@contextmanager
def room() -> Iterator[Path]:
    """An empty folder of this process's own."""
    _sweep()
    with tempfile.TemporaryDirectory(prefix=PREFIX) as name, locked(Path(name)):
        yield Path(name)


def _sweep() -> None:
    for left in Path(tempfile.gettempdir()).glob(f"{PREFIX}*"):
        with suppress(InputError, OSError):
            if time.time() - left.stat().st_mtime > YOUNG:
                with locked(left):
                    shutil.rmtree(left, ignore_errors=True)

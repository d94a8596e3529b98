"""One process per run folder: two that trained or evaluated one run would undo each other's files.

The lock is the kernel's (flock), which ends with its process, however that ends. Where there is none, it is a file that
is created once and removed at the end; one that a killed process left has the id of a process that is no more.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from jensen.experiments.run import files
from jensen.experiments.run.errors import InputError

try:
    import fcntl
except ImportError:
    fcntl = None

NAME = ".lock"


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """The folder is this process's alone; what killed processes left in it is removed.

    InputError that names the other process where there is one.
    """
    path = folder / NAME
    try:
        descriptor = _created(path) if fcntl is None else _flocked(path)
    except BlockingIOError as error:
        pid = _owner(path)
        who = f"process {pid}" if pid else "another process"
        raise InputError(f"{folder} is in use by {who}: wait until it ends, or stop it") from error
    except OSError as error:
        raise files.unwritten(path, error, files.AGAIN) from error
    try:
        os.write(descriptor, str(os.getpid()).encode())
        files.sweep(folder, alone=True)
        yield
    finally:
        with suppress(OSError):
            os.ftruncate(descriptor, 0)
        os.close(descriptor)
        if fcntl is None:
            path.unlink(missing_ok=True)


def _flocked(path: Path) -> int:
    """The file's descriptor, with the kernel's lock. BlockingIOError where another process has it."""
    assert fcntl is not None
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        os.ftruncate(descriptor, 0)
    except OSError:
        os.close(descriptor)
        raise
    return descriptor


def _created(path: Path) -> int:
    """The file's descriptor, newly made. BlockingIOError where another process that lives has made it."""
    with suppress(FileNotFoundError):
        if files.lives(_owner(path)):
            raise BlockingIOError
        path.unlink()
    try:
        return os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o644)
    except FileExistsError as error:
        raise BlockingIOError from error


def _owner(path: Path) -> int:
    """The id in the file; 0, which is no process, where there is none."""
    text = path.read_bytes()[:32]
    return int(text) if text.isdigit() else 0

"""A line about the progress of what takes more than a few seconds."""

import sys
import time
from collections.abc import Callable
from types import TracebackType

PATIENCE = 3.0  # seconds before the first line
PAUSE = 1.0  # seconds between two lines


class Progress:
    """Lines after three seconds, one a second: to a function of the caller's such as print, or to a terminal's stderr.

    On a terminal each line overwrites the last. Where stderr is none, such as a file, and no function is given, nothing
    is written.
    """

    def __init__(self, write: Callable[[str], object] | None) -> None:
        self._write = write
        self._next = time.monotonic() + PATIENCE
        self._shown = False

    def __call__(self, line: Callable[[], str]) -> None:
        """Shows line() if it is time; it is not called otherwise."""
        if time.monotonic() < self._next:
            return
        self._next = time.monotonic() + PAUSE
        if self._write is not None:
            self._write(line())
        elif sys.stderr is not None and sys.stderr.isatty():
            sys.stderr.write(f"\r\x1b[K{line()}")
            sys.stderr.flush()
            self._shown = True

    def __enter__(self) -> "Progress":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._shown:
            sys.stderr.write("\n")

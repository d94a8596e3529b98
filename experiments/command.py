"""The outermost layer of every command: whatever ends it early becomes one line and an exit code."""

import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NoReturn

from jensen.experiments.settings import InputError

TOO_LARGE = (  # what torch's errors say of sizes that do not fit: few of them have a class of their own
    "can't allocate memory", "not enough memory", "out of memory", "Storage size calculation overflowed",
    "integer multiplication overflow", "int64_t without overflow", "int too big to convert",
)  # fmt: skip


class InterruptError(KeyboardInterrupt):
    """A signal has asked the command to stop; the message says where it stands."""

    def __init__(self, signum: int, stand: str):
        super().__init__(stand)
        self.exit_code = 128 + signum


@contextmanager
def command(onwards: str, sizes: str) -> Iterator[None]:
    """Exit code 2 for bad input and for sizes that do not fit in memory, 130 after Ctrl-C, 143 after SIGTERM.

    `onwards` says what to do after an interrupt, `sizes` names the options that memory is spent on.
    """
    with terminable():
        try:
            yield
        except InputError as error:
            leave(2, f"error: {error}")
        except InterruptError as stop:
            leave(stop.exit_code, f"{stop}; {onwards}")
        except KeyboardInterrupt:
            leave(128 + signal.SIGINT, f"interrupted; {onwards}")
        except (MemoryError, OverflowError, RuntimeError) as error:
            if not isinstance(error, MemoryError) and not any(text in str(error) for text in TOO_LARGE):
                raise
            leave(2, f"error: this does not fit in memory: lower {sizes}")


def leave(code: int, line: str) -> NoReturn:
    print(line, file=sys.stderr)
    sys.exit(code)


@contextmanager
def terminable() -> Iterator[None]:
    """SIGTERM raises, as SIGINT does: what is open is closed, and partial files are removed, on the way out."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def stop(signum: int, frame: Any) -> None:
        raise InterruptError(signum, "terminated")

    before = signal.signal(signal.SIGTERM, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)

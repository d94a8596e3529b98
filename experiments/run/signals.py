"""SIGINT, SIGTERM and SIGHUP: put off to the end of a step, raised at once, or noted.

A signal that is ignored at the start stays so: nohup asks for it, and a shell that starts jobs in the background.
"""

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

from jensen.experiments.run.errors import InterruptError

STOPS = tuple(
    getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)
)  # Windows has no SIGHUP
SAID = {"SIGINT": "interrupted", "SIGTERM": "terminated", "SIGHUP": "the terminal was closed"}
Handler = Callable[[int, FrameType | None], None]


@contextmanager
def interrupts() -> Iterator[list[int]]:
    """A list that the first signal is appended to, so that a step in flight ends first; a second one is as usual."""
    caught: list[int] = []

    def catch(signum: int, frame: FrameType | None) -> None:
        caught.append(signum)
        restore()

    with handled(STOPS, catch) as restore:
        yield caught


@contextmanager
def raised() -> Iterator[list[InterruptError]]:
    """Every signal raises, as Ctrl-C does: what is open is closed, and partial files are removed, on the way out.

    A list of what was raised: an import that one breaks into may raise another error in its place.
    """
    stopped: list[InterruptError] = []

    def stop(signum: int, frame: FrameType | None) -> None:
        stopped.append(_of(signum))
        raise stopped[-1]

    with handled(STOPS, stop):
        yield stopped


@contextmanager
def noted(note: Callable[[InterruptError], None]) -> Iterator[None]:
    """Every signal is given to `note` in place of being raised, for code that nothing may be raised in."""

    def catch(signum: int, frame: FrameType | None) -> None:
        note(_of(signum))

    with handled(STOPS, catch):
        yield


def _of(signum: int) -> InterruptError:
    return InterruptError(signum, SAID[signal.Signals(signum).name])


@contextmanager
def handled(
    signums: tuple[signal.Signals, ...], handler: Handler, ignored_too: bool = False
) -> Iterator[Callable[[], None]]:
    """The handler for signals that are not ignored, and what restores theirs; threads but the main one may set none."""
    before = {}
    if threading.current_thread() is threading.main_thread():
        usual = {signum: signal.getsignal(signum) for signum in signums}
        left = (None,) if ignored_too else (None, signal.SIG_IGN)
        before = {signum: old for signum, old in usual.items() if old not in left}

    def restore() -> None:
        for signum, old in before.items():
            signal.signal(signum, old)

    try:
        for signum in before:
            signal.signal(signum, handler)
        yield restore
    finally:
        restore()

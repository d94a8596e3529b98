"""The outermost layer of every command: whatever ends it early becomes one line and an exit code.

It imports nothing heavy. A command that imports its own parts inside `command` is interrupted there in one line too:

    def main() -> None:
        with command("go on with --resume", "--k or --batch"):
            from jensen.experiments.program import run
            run(sys.argv[1:])
"""

import io
import os
import signal
import sys
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout, suppress
from typing import NoReturn, TextIO

from jensen.experiments.run.errors import InputError, InterruptError, LostRankError, reason
from jensen.experiments.run.machine import bounded_memory, lacking
from jensen.experiments.run.signals import raised


@contextmanager
def command(onwards: str, sizes: str) -> Iterator[None]:
    """Exit code 2 for bad input and for what the machine lacks, 130 after Ctrl-C, 143 SIGTERM, 129 SIGHUP.

    `onwards` says what to do after an interrupt, `sizes` names the options that memory is spent on. Within, standard
    output and error are `Steady`; where output was lost, to a full disk, the exit code is 1.
    """
    with steady() as out, raised() as stopped, bounded_memory(), quiet():
        try:
            yield
            check_written(out)
        except SystemExit as end:  # after --help, say
            if not end.code:
                check_written(out)
            raise
        except InputError as error:
            leave(2, f"error: {error}")
        except InterruptError as stop:
            leave(stop.exit_code, f"{stop}; {onwards}")
        except LostRankError as error:
            leave(1, f"error: {error}; {onwards}")
        except KeyboardInterrupt:
            leave(128 + signal.SIGINT, f"interrupted; {onwards}")
        except Exception as error:
            if stopped:
                leave(stopped[0].exit_code, f"{stopped[0]}; {onwards}")
            kinds = (ImportError, MemoryError, OSError, OverflowError, RuntimeError)
            line = lacking(error, sizes) if isinstance(error, kinds) else None
            if line is None:
                raise
            leave(2, f"error: {line}")


@contextmanager
def installed(extra: str) -> Iterator[None]:
    """InputError for a module that is not there, of the extra of this package that has it."""
    try:
        yield
    except ModuleNotFoundError as error:
        raise InputError(f"{error.name} is not installed: pip install 'jensen[experiments,{extra}]'") from error


def check_written(out: "Steady") -> None:
    """Ends the command with 1 where text was lost."""
    out.flush()
    if out.lost is not None:
        leave(1, f"error: standard output cannot be written ({reason(out.lost)}): make room, or send it elsewhere")


def leave(code: int, line: str) -> NoReturn:
    print(" ".join(line.splitlines()), file=sys.stderr)
    sys.exit(code)


def echo(text: str) -> None:
    """A line of plain text on standard output, at once: a path's brackets are no markup."""
    print(text, flush=True)


@contextmanager
def steady() -> Iterator["Steady"]:
    """Standard output, which is given, and error that never fail; at the end what they hold is written, or dropped."""
    _fill_descriptors()
    out, err = Steady(sys.stdout), Steady(sys.stderr)
    with redirect_stdout(out), redirect_stderr(err):
        try:
            yield out
        finally:
            out.flush()
            err.flush()


@contextmanager
def quiet() -> Iterator[None]:
    """Without what torch's compiler warns of in code of its own, which a run's user can do nothing about."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", r"`torch\._prims_common\.check` is deprecated", FutureWarning)
        yield


class Steady(io.TextIOBase):
    """A text stream that never ends a run.

    A character that its encoding lacks is written as a question mark. Once it is closed, broken or full, what is
    written is dropped: the report is in the run folder.
    """

    def __init__(self, stream: TextIO | None):
        self._stream = stream
        self.lost: OSError | None = None  # why text was dropped, but for a reader that left

    @property
    def encoding(self) -> str:  # pyright: ignore[reportIncompatibleVariableOverride]
        return getattr(self._stream, "encoding", None) or "utf-8"

    def write(self, text: str, /) -> int:
        encoding = self.encoding
        self._try(lambda stream: stream.write(text.encode(encoding, "replace").decode(encoding)))
        return len(text)

    def flush(self) -> None:
        self._try(lambda stream: stream.flush())

    def isatty(self) -> bool:
        return self._stream is not None and not self._stream.closed and self._stream.isatty()

    def fileno(self) -> int:
        if self._stream is None:
            raise io.UnsupportedOperation("fileno")
        return self._stream.fileno()

    def _try(self, use: Callable[[TextIO], object]) -> None:
        if self._stream is None:
            return
        try:
            use(self._stream)
        except (OSError, ValueError) as error:  # ValueError: a closed one
            if isinstance(error, OSError) and not isinstance(error, BrokenPipeError):
                self.lost = error
            broken, self._stream = self._stream, None
            _drop(broken)


def _drop(stream: TextIO) -> None:
    """What a broken stream still holds goes nowhere: the interpreter writes it at its exit, and would fail."""
    with suppress(OSError, ValueError):
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, stream.fileno())
        os.close(nowhere)


def _fill_descriptors() -> None:
    """Where a standard stream is closed, the next file opened would be taken for it, and be written to."""
    for descriptor in range(3):
        try:
            os.fstat(descriptor)
        except OSError:
            os.open(os.devnull, os.O_RDWR)

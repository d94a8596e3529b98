"""However a command is stopped, it says so in one line and in its exit code; nothing on standard output ends it."""

import io
import os
import resource
import signal
import subprocess
import sys
import warnings

import pytest
import torch
from rich.console import Console
from torch._inductor.exc import InductorError

from jensen.experiments.run.command import Steady, command, echo
from jensen.experiments.run.errors import InputError, InterruptError, NonFiniteError
from jensen.experiments.run.machine import ACCELERATORS, bounded_memory, memory


def compilation(error):
    """As the compiler passes on an error."""
    return InductorError(error, None)


MEMORY = [
    MemoryError(),
    torch.OutOfMemoryError("CUDA out of memory"),
    RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes"),
    OverflowError("int too big to convert"),
]
ENDS = [
    (InputError("expected --k of at least 1"), 2, "error: expected --k of at least 1"),
    (InputError("a name\nof two lines"), 2, "error: a name of two lines"),
    (NonFiniteError("kl is nan at step 3"), 2, "error: kl is nan at step 3"),
    (InterruptError(signal.SIGTERM, "stopped at step 3"), 143, "stopped at step 3; go on with --resume"),
    (KeyboardInterrupt(), 130, "interrupted; go on with --resume"),
    *((error, 2, "error: this does not fit in memory: lower --k") for error in MEMORY),
    (FileNotFoundError(36, "File name too long", "xxx"), 2, "error: xxx cannot be used (File name too long): choose a"),
    (PermissionError(13, "Permission denied", "a"), 2, "error: a cannot be used (Permission denied): change its"),
    (compilation(OSError(28, "No space left", "/tmp/a")), 2, "error: /tmp/a cannot be used (No space left): make room"),
    (compilation(RuntimeError("No working C++ compiler found")), 2, "error: torch.compile needs a C++ compiler"),
    (ModuleNotFoundError("No tyro", name="tyro"), 2, "error: tyro is not installed: pip install 'jensen[experiments]'"),
]


def ended(capsys, body):
    """The exit code, and all that is on standard error."""
    with pytest.raises(SystemExit) as stopped, command("go on with --resume", "--k"):
        body()
    return stopped.value.code, capsys.readouterr().err


@pytest.mark.parametrize("error", [ImportError("cannot load module more than once"), RecursionError("too deep")])
def test_an_interrupt_in_an_import_is_one_whatever_the_import_makes_of_it(error, capsys):
    def body():
        try:
            signal.raise_signal(signal.SIGTERM)
        except BaseException:
            raise error from None

    assert ended(capsys, body) == (143, "terminated; go on with --resume\n")


def raising(error):
    def body():
        raise error

    return body


@pytest.mark.parametrize(("error", "code", "line"), ENDS, ids=lambda value: repr(value)[:40])
def test_what_ends_a_command_is_one_line(error, code, line, capsys):
    found, text = ended(capsys, raising(error))
    assert (found, text.count("\n")) == (code, 1)
    assert text.startswith(line)


@pytest.mark.parametrize(
    ("signum", "code", "said"),
    [
        (signal.SIGINT, 130, "interrupted"),
        (signal.SIGTERM, 143, "terminated"),
        (signal.SIGHUP, 129, "the terminal was"),
    ],
)
def test_a_signal_is_one_line(signum, code, said, capsys):
    before = signal.signal(signum, signal.SIG_DFL)  # whatever this process was started with
    try:
        found, line = ended(capsys, lambda: os.kill(os.getpid(), signum))
        assert signal.getsignal(signum) is signal.SIG_DFL
    finally:
        signal.signal(signum, before)
    assert (found, line.count("\n")) == (code, 1)
    assert line.startswith(said)
    assert line.endswith("; go on with --resume\n")


BUGS = [
    RuntimeError("a bug"), OverflowError("math range error"), KeyError("a bug"), OSError("without a file"),
    ModuleNotFoundError("a bug", name="jensen.core.bugs"), compilation(RuntimeError("a bug")),
]  # fmt: skip


@pytest.mark.parametrize("error", BUGS, ids=repr)
def test_bugs_keep_their_traceback(error):
    with pytest.raises(type(error)), command("", ""):
        raise error


@pytest.mark.skipif(any(map(os.path.exists, ACCELERATORS)), reason="nothing is bounded beside an accelerator")
def test_more_than_the_machine_has_is_refused_before_it_is_touched(capsys):
    """Each part would fit, and the system grants both, until they are written to."""
    part = memory() * 3 // 4

    def body():
        return torch.empty(part, dtype=torch.uint8), torch.empty(part, dtype=torch.uint8)

    assert ended(capsys, body) == (2, "error: this does not fit in memory: lower --k\n")
    before = resource.getrlimit(resource.RLIMIT_DATA)
    with bounded_memory():
        assert resource.getrlimit(resource.RLIMIT_DATA)[0] == memory()
    assert resource.getrlimit(resource.RLIMIT_DATA) == before


def test_streams_are_as_before_afterwards():
    before = sys.stdout, sys.stderr
    with command("", ""):
        assert isinstance(sys.stdout, Steady)
        assert isinstance(sys.stderr, Steady)
    assert (sys.stdout, sys.stderr) == before


def test_paths_are_no_markup(capsys):
    with command("", ""):
        echo("runs/[bold]x[/]:smile:")
    assert capsys.readouterr().out == "runs/[bold]x[/]:smile:\n"


class Broken(io.StringIO):
    def write(self, text):
        raise BrokenPipeError


def closed():
    stream = io.StringIO()
    stream.close()
    return stream


@pytest.mark.parametrize("stream", [Broken(), closed(), None], ids=["broken", "closed", "none"])
def test_a_stream_that_cannot_be_written_ends_nothing(stream):
    steady = Steady(stream)
    for _ in range(2):
        print("text", file=steady, flush=True)
        Console(file=steady).print("[bold]text[/]")
        steady.isatty()
    assert steady.write("text") == 4


def test_characters_that_the_encoding_lacks_are_question_marks():
    raw = io.BytesIO()
    steady = Steady(io.TextIOWrapper(raw, encoding="ascii"))
    print("−ELBO 3 \udcff", file=steady, flush=True)
    assert raw.getvalue() == b"?ELBO 3 ?\n"
    assert steady.encoding == "ascii"
    with pytest.raises(UnicodeEncodeError):
        print("−", file=io.TextIOWrapper(io.BytesIO(), encoding="ascii"))


BODY = """
import os, sys
from pathlib import Path
from jensen.experiments.run.command import command, echo
with command("go on", "--k"):
    with Path(sys.argv[1]).open("w") as file:
        for _ in range(10):
            if sys.argv[2:] == ["past"]:
                os.write(1, b"written past the stream")
            echo("\u2212ELBO 12.34")
        file.write(f"finished, torch {'torch' in sys.modules}")
    if sys.argv[2:] == ["help"]:
        sys.exit()
"""
FULL = "error: standard output cannot be written (No space left on device): make room, or send it elsewhere\n"
BUFFERED = {name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"}


def finishes(command, path, code=0, said="", **streams):
    done = subprocess.run(command, stderr=subprocess.PIPE, text=True, timeout=60, env=BUFFERED, **streams)
    assert (done.returncode, done.stderr) == (code, said)
    assert path.read_text() == "finished, torch False"


@pytest.mark.parametrize("more", [[], ["help"]], ids=["to the end", "sys.exit()"])
def test_a_full_disk_under_standard_output_ends_nothing_and_is_said(tmp_path, more):
    with open("/dev/full", "w") as full:
        finishes([sys.executable, "-c", BODY, str(tmp_path / "done"), *more], tmp_path / "done", 1, FULL, stdout=full)


def test_a_closed_standard_output_ends_nothing_and_no_file_takes_its_place(tmp_path):
    command = ["sh", "-c", '"$@" >&-', "sh", sys.executable, "-c", BODY, str(tmp_path / "done"), "past"]
    finishes(command, tmp_path / "done")


def test_a_reader_that_left_ends_nothing(tmp_path):
    reading, writing = os.pipe()
    os.close(reading)
    try:
        finishes([sys.executable, "-c", BODY, str(tmp_path / "done")], tmp_path / "done", stdout=writing)
    finally:
        os.close(writing)


def test_an_import_is_interrupted_in_one_line(tmp_path):
    (tmp_path / "slow.py").write_text("import time\nprint('importing', flush=True)\ntime.sleep(60)\n")
    body = f"""
import signal, sys
signal.signal(signal.SIGINT, signal.default_int_handler)  # which a shell in the background ignores
sys.path.insert(0, {str(tmp_path)!r})
from jensen.experiments.run.command import command
with command("run it again", "--k"):
    import slow
"""
    with subprocess.Popen([sys.executable, "-c", body], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as p:
        assert p.stdout.readline() == "importing\n"
        p.send_signal(signal.SIGINT)
        assert p.stderr.read() == "interrupted; run it again\n"
        assert p.wait(60) == 130


def test_what_torch_warns_of_in_code_of_its_own_is_not_shown():
    def warn():
        warnings.warn("`torch._prims_common.check` is deprecated and will be removed", FutureWarning, stacklevel=1)
        warnings.warn("a run's own", UserWarning, stacklevel=1)

    with warnings.catch_warnings(record=True) as shown:
        warnings.simplefilter("always")
        warn()
        with command("go on", "--k"):
            warn()
    assert [each.category for each in shown] == [FutureWarning, UserWarning, UserWarning]

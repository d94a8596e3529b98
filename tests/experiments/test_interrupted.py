"""Every command, as its users start it, is interrupted in one line: in its imports, too."""

import os
import signal
import subprocess
import sys

import pytest

COMMANDS = {
    "train": [],
    "evaluate": ["anywhere"],
    "reproduce": ["bounds"],
    "claims.bounds": [],
    "claims.gradient_variance": [],
    "claims.discrete_estimators": [],
}
SLOW = """
import signal, time
print(signal.getsignal(signal.SIGINT) is signal.SIG_IGN, flush=True)
for _ in range(600):
    time.sleep(0.1)
"""


def started(folder, command, before=""):
    """The command, where torch is a module that takes a minute to import."""
    (folder / "torch.py").write_text(SLOW)
    code = f"import runpy, signal, sys; sys.argv = {['a command', *COMMANDS[command]]!r}; {before}"
    code += f"runpy.run_module('jensen.experiments.{command}', run_name='__main__', alter_sys=True)"
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(folder), os.environ.get("PYTHONPATH", "")])}
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    return subprocess.Popen([sys.executable, "-c", code], env=environment, **pipes)


DEFAULT = "signal.signal(signal.SIGINT, signal.default_int_handler); "  # which a shell in the background ignores


CASES = [(command, signal.SIGINT, 130, "interrupted") for command in COMMANDS]
CASES.append(("train", signal.SIGHUP, 129, "the terminal was closed"))


@pytest.mark.parametrize(("command", "signum", "code", "said"), CASES)
def test_imports_are_interrupted_in_one_line(command, signum, code, said, tmp_path):
    with started(tmp_path, command, DEFAULT) as process:
        assert process.stdout.readline() == "False\n"
        process.send_signal(signum)
        lines = process.stderr.read().splitlines()
        assert process.wait(60) == code
    assert len(lines) == 1, lines
    assert lines[0].startswith(f"{said}; ")


def test_what_is_ignored_at_the_start_stays_ignored(tmp_path):
    """As nohup and a shell in the background ask for."""
    ignored = "signal.signal(signal.SIGINT, signal.SIG_IGN); signal.signal(signal.SIGHUP, signal.SIG_IGN); "
    with started(tmp_path, "train", ignored) as process:
        assert process.stdout.readline() == "True\n"
        for signum in (signal.SIGINT, signal.SIGHUP):
            process.send_signal(signum)
        with pytest.raises(subprocess.TimeoutExpired):
            process.wait(0.3)
        process.send_signal(signal.SIGTERM)
        assert process.stderr.read().splitlines() == ["terminated; go on with --resume"]

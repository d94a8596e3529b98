"""The command in this process or in one of its own, sabotaged or not, waiting for it, and what it leaves."""

import contextlib
import io
import json
import os
import sys
import time

from jensen.experiments import train
from jensen.experiments.programs import KINDS
from jensen.experiments.run import checkpoints, folder

FAST = [
    "--no-compile", "--steps", "100", "--batch", "20", "--hidden", "16", "--latent", "2", "--evidence-k", "5",
    "--checkpoint-every", "50", "--log-every", "10",
]  # fmt: skip
FEW = [  # of an evaluation
    "--images", "6", "--k", "1", "10", "30", "--chains", "2", "--temperatures", "3", "--gap-images", "2",
    "--refine", "2", "--encoder-steps", "2",
]  # fmt: skip
VARIES = {"timing.json", ".lock"}  # the only files that may differ between two runs of one configuration


def run(*args):
    """The command in this process; what it printed."""
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        train.main(list(map(str, args)))
    return printed.getvalue()


def command(*args, before=""):
    """The command in a process of its own; `before` is code that sabotages it."""
    code = f"import sys; sys.argv = ['train', *{list(map(str, args))!r}]\n{before}\n"
    code += "from jensen.experiments import train; train.main()"
    return [sys.executable, "-W", "error", "-c", code]


def child(args, before=lambda: None):
    """The command in a child of this process: its id."""
    pid = os.fork()
    if pid == 0:
        nowhere = os.open(os.devnull, os.O_RDWR)
        for descriptor in range(3):
            os.dup2(nowhere, descriptor)
        try:
            before()
            train.main(list(map(str, args)))
        finally:
            os._exit(0)
    return pid


PATIENCE = 200  # s, after which what must come about never will, however much else the machine has to do


def until(condition, seconds=PATIENCE):
    """Waits for what must come about."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.005)


def was_killed(pid):
    _, status = os.waitpid(pid, 0)
    return os.WIFSIGNALED(status)


def contents(path):
    """Every file's bytes but those that vary, by its name inside the folder."""
    files = (p for p in path.rglob("*") if p.is_file() and p.name not in VARIES)
    return {str(p.relative_to(path)): p.read_bytes() for p in files}


def same_files(a, b):
    ours, theirs = contents(a), contents(b)
    assert sorted(ours) == sorted(theirs)
    assert [name for name in ours if ours[name] != theirs[name]] == []


def last(path):
    """The newest checkpoint's file, and what it holds."""
    where = folder.series(path)[-1]
    return where, checkpoints.load(where)


def rewrite(path, state=None, **tensors):
    """The newest checkpoint with another state or with some of its tensors replaced, and a right checksum."""
    where, found = last(path)
    state = json.loads(json.dumps(dict(found.state))) if state is None else state
    checkpoints.save(where, found._replace(tensors={**found.tensors, **tensors}, state=state))


def settings(path):
    return folder.read_config(path, tuple(KINDS.values()))

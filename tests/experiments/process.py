"""The command in processes of its own, sabotaged or not, and what it leaves."""

import json
import subprocess
import sys

from safetensors.torch import load_file, save_file

from jensen.experiments import runs

FAST = [
    "--no-compile", "--steps", "100", "--batch", "20", "--hidden", "16", "--latent", "2", "--evidence-k", "5",
    "--checkpoint-every", "50", "--log-every", "10",
]  # fmt: skip
FEW = [  # of an evaluation
    "--images", "6", "--k", "1", "10", "30", "--chains", "2", "--temperatures", "4", "--gap-images", "2",
]  # fmt: skip
VARIES = {"timing.json"}  # the only file that may differ between two runs of one configuration


def command(*args, before=""):
    """The command in a process of its own; `before` is code that sabotages it."""
    code = f"import sys; sys.argv = ['train', *{list(map(str, args))!r}]\n{before}\n"
    code += "from jensen.experiments import train; train.main()"
    return [sys.executable, "-W", "error", "-c", code]


def start(*args, before="", **options):
    return subprocess.run(command(*args, before=before), capture_output=True, text=True, timeout=120, **options)


def contents(folder):
    """Every file's bytes but those that vary, by its name inside the folder."""
    files = (p for p in folder.rglob("*") if p.is_file() and p.name not in VARIES)
    return {str(p.relative_to(folder)): p.read_bytes() for p in files}


def same_files(a, b):
    ours, theirs = contents(a), contents(b)
    assert ours.keys() == theirs.keys()
    assert [name for name in ours if ours[name] != theirs[name]] == []


def rewrite(folder, state=None, config=None, **tensors):
    """The folder's last checkpoint with other metadata, or with some of its tensors replaced."""
    stored = load_file(folder / runs.LAST) | tensors
    run = {
        "state": {"step": 100, "best": None} if state is None else state,
        "config": runs.read_settings(folder).config() if config is None else config,
    }
    save_file(stored, folder / runs.LAST, {"run": json.dumps(run)})


KILL = """
import os, signal
from jensen.experiments import loop
original = loop.warmup_cosine
def stop_at(step, *rest):
    if step == {step}:
        os.kill(os.getpid(), signal.SIGKILL)
    return original(step, *rest)
loop.warmup_cosine = stop_at
"""

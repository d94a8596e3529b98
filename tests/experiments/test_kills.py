"""A run that is killed ends with the bits of one that was not.

It is killed at random moments, and before each change of a file.
"""

import os
import random
import shutil
import signal
import sys
import time

import pytest

from tests.experiments.process import child, run, same_files, was_killed

KILLS = {"eager": 100, "compiled": 30}  # of which each takes 0.4 of a run, with its compilation
SMALL = [
    "--batch", "20", "--hidden", "16", "--latent", "2", "--evidence-k", "5", "--log-every", "7", "--average", "0.9",
    "--keep", "2", "--held-out", "0.1", "--patience", "9",
]  # fmt: skip
OFTEN = ["vae", *SMALL, "--steps", "200", "--checkpoint-every", "5"]
SHORT = ["vae", *SMALL, "--steps", "6", "--checkpoint-every", "2", "--no-compile"]
CHANGES = {"open", "os.rename", "os.remove", "os.mkdir", "os.truncate"}


def again(options, folder):
    """What a user would do: go on where there is a run."""
    return ["--resume", folder] if (folder / "config.json").exists() else [*options, "--out", folder]


@pytest.mark.slow
@pytest.mark.parametrize("kind", KILLS)
def test_kills_at_random_moments_leave_the_same_bits(tmp_path, kind):
    options = [*OFTEN, *(["--no-compile"] if kind == "eager" else [])]
    whole, parts, chance = tmp_path / "whole", tmp_path / "parts", random.Random(1)
    run(*options, "--out", whole)
    began = time.monotonic()
    assert not was_killed(child([*options, "--out", tmp_path / "again"]))  # with what this process has compiled
    length, kills, rounds = time.monotonic() - began, 0, 0
    same_files(whole, tmp_path / "again")
    while kills < KILLS[kind]:
        shutil.rmtree(parts, ignore_errors=True)
        for _ in range(10):
            pid = child(again(options, parts))
            time.sleep(chance.uniform(0, 0.6 * length))
            os.kill(pid, signal.SIGKILL)
            kills += was_killed(pid)
        run(*again(options, parts))
        same_files(whole, parts)
        rounds += 1
    print(f"{kind}: {kills} kills in {rounds} rounds of a run of {length:.1f} s")


def kill_before(change, folder):
    """What kills this process before the change of a file in the folder that has this number."""

    def watch(event, args):
        nonlocal change
        if event in CHANGES and args and str(args[0]).startswith(str(folder)):
            reads = event == "open" and not args[2] & (os.O_WRONLY | os.O_RDWR)
            change -= not reads
            if change < 0:
                os.kill(os.getpid(), signal.SIGKILL)

    return lambda: sys.addaudithook(watch)


@pytest.mark.slow
def test_kills_before_each_change_of_a_file_leave_the_same_bits(tmp_path):
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    run(*SHORT, "--out", whole)
    change = 0
    while was_killed(child(again(SHORT, parts), kill_before(change, parts))):
        run(*again(SHORT, parts))
        same_files(whole, parts)
        shutil.rmtree(parts)
        change += 1
    same_files(whole, parts)
    assert change > 30
    print(f"{change} kills, one before each change of a file")

"""A run that is killed again and again, at moments that nothing chose, ends with the bits of one that was not."""

import os
import random
import shutil
import signal
import time

import pytest

from jensen.experiments import train
from tests.experiments.process import run, same_files

KILLS = 100
SMALL = [
    "--steps", "200", "--batch", "20", "--hidden", "16", "--latent", "2", "--evidence-k", "5", "--checkpoint-every",
    "10", "--log-every", "7", "--average", "0.9", "--keep", "2",
]  # fmt: skip


def killed(args, after):
    """The command in a child of this process, killed after so many seconds; whether it was still at work."""
    child = os.fork()
    if child == 0:
        nowhere = os.open(os.devnull, os.O_RDWR)
        for descriptor in range(3):
            os.dup2(nowhere, descriptor)
        try:
            train.main(args)
        finally:
            os._exit(0)
    time.sleep(after)
    os.kill(child, signal.SIGKILL)
    _, status = os.waitpid(child, 0)
    return os.WIFSIGNALED(status)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["eager", "compiled"])
def test_kills_at_random_moments_leave_the_same_bits(tmp_path, kind):
    options = ["vae", *SMALL, *(["--no-compile"] if kind == "eager" else [])]
    whole, parts, chance = tmp_path / "whole", tmp_path / "parts", random.Random(1)
    run(*options, "--out", whole)
    began = time.monotonic()
    run(*options, "--out", tmp_path / "again")  # with a warm compiler
    length, kills, rounds = time.monotonic() - began, 0, 0
    while kills < KILLS:
        shutil.rmtree(parts, ignore_errors=True)
        for _ in range(10):
            begun = (parts / "config.json").exists()
            args = ["--resume", str(parts)] if begun else [*options, "--out", str(parts)]
            kills += killed(args, chance.uniform(0, 0.6 * length))
        args = ["--resume", parts] if (parts / "config.json").exists() else [*options, "--out", parts]
        run(*args)
        same_files(whole, parts)
        rounds += 1
    print(f"{kind}: {kills} kills in {rounds} rounds")

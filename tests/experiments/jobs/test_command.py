"""The command: from rows to a file of results, and what it refuses."""

import dataclasses
import os
import re
import shutil
import signal
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
import safetensors.torch
import torch

from jensen.core import keys
from jensen.experiments import work
from jensen.experiments.deployment import load
from jensen.experiments.deployment.manifest import read_manifest, write_manifest
from jensen.experiments.jobs import Job, Place, processes
from jensen.experiments.run.errors import InputError
from tests.experiments.jobs.conftest import FORK
from tests.experiments.process import PATIENCE, until
from tests.experiments.service.conftest import LATENT


@pytest.fixture(autouse=True)
def forked(monkeypatch):
    """Workers that need not import torch anew."""
    monkeypatch.setattr(processes, "METHOD", "fork")


@pytest.fixture
def ask(place, capsys):
    """ask("put", ...): what the command prints, of the queue of a place."""

    def asked(command, *args):
        capsys.readouterr()
        work.main([command, *at(place), *map(str, args)])
        return capsys.readouterr().out

    return asked


def at(place):
    return [place.queue, "--engine", place.engine, "--server", place.server]


def test_seeds_to_samples(ask, export, tmp_path):
    """Row i is drawn with the key [seed, 0, i], whichever worker draws it."""
    out = tmp_path / "samples.safetensors"
    assert "23 waiting, 0 taken, 0 done, 0 dead" in ask("put", export, "sample", "--n", 23, "--seed", 7)
    assert "23 waiting" in ask("status")
    assert "sample: 0 waiting, 0 taken, 23 done, 0 dead" in ask("run", export, "--workers", 2, "--wait", 0)
    assert "23 results" in ask("results", "--out", out)
    expected = load(export)["sample"](keys.at(keys.key(7), datum=torch.arange(23)))
    assert torch.allclose(safetensors.torch.load_file(out)["mean"], expected, rtol=1e-6)
    with safetensors.safe_open(out, "pt") as opened:
        assert opened.metadata()["function"] == "sample"


def test_rows_of_files(ask, export, tmp_path):
    """The same rows are the same jobs, of whichever file."""
    z = torch.randn(6, LATENT, generator=torch.Generator().manual_seed(0))
    safetensors.torch.save_file({"z": z}, tmp_path / "z.safetensors")
    np.save(tmp_path / "z.npy", z.numpy())
    for name in ("z.safetensors", "z.npy"):
        assert "6 waiting" in ask("put", export, "decode", "--from", tmp_path / name)
    assert "7 waiting" in ask("put", export, "decode", "--from", one(tmp_path / "one.npy"), "--name", "one")
    ask("run", export, "--wait", 0)
    ask("results", "--out", tmp_path / "out")
    found = safetensors.torch.load_file(tmp_path / "out")["mean"]
    assert torch.allclose(found[:6], load(export)["decode"](z), rtol=1e-6)


def test_dead_jobs_are_revived(ask, export, place):
    ask("put", export, "sample", "--n", 1, "--tries", 1)
    with closing(place.open()) as queue:
        queue.put([Job("bad", b"no file")])
    said = ask("run", export, "--wait", 0)
    assert "1 done, 1 dead\n  bad: ValueError: the job is no file of safetensors" in said
    assert "1 waiting, 0 taken, 1 done, 0 dead" in ask("revive")


def test_a_full_queue(place, export, refused):
    args = [*at(place), export, "sample", "--n", 9, "--room", 4, "--no-block"]
    assert "full, with 5 of 9 jobs not in it" in refused(work.main, "put", *args)


def test_what_is_refused(place, export, refused, tmp_path):
    """One line each, and no queue is made."""
    wrong, flat = tmp_path / "wrong.npy", tmp_path / "flat.npy"
    few, text = tmp_path / "few.safetensors", tmp_path / "text"
    np.save(wrong, np.zeros((3, LATENT + 1), np.float32))
    np.save(tmp_path / "pickled.npy", np.array([{}]), allow_pickle=True)
    safetensors.torch.save_file({"y": torch.zeros(3, LATENT)}, few)
    np.save(flat, np.float32(0))
    text.write_text("no rows")
    queue = at(place)
    for args, expected in (
        ([], "expected what to do"),
        (["draw"], "expected what to do"),
        (["put", *queue, tmp_path, "decode"], "holds no export"),
        (["put", *queue, export, "encode"], "expected one of decode, sample, got encode"),
        (["put", *queue, export, "sample"], "pass --n"),
        (["put", *queue, export, "sample", "--n", 0], "expected --n"),
        (["put", *queue, export, "sample", "--n", 3, "--seed", -1], "expected --seed"),
        (["put", *queue, export, "sample", "--n", 3, "--room", 0], "expected --room"),
        (["put", *queue, export, "sample", "--n", 3, "--name", "a/b"], "expected a job's id"),
        (["put", *queue, export, "decode"], "expected rows of z"),
        (["put", *queue, export, "decode", "--from", wrong], "expected z (n, 5)"),
        (["put", *queue, export, "decode", "--from", few], "expected rows of z"),
        (["put", *queue, export, "decode", "--from", flat], "expected z (n, 5)"),
        (["put", *queue, export, "decode", "--from", text], "is damaged"),
        (["put", *queue, export, "decode", "--from", tmp_path / "none"], "cannot be read"),
        (["put", *queue, export, "decode", "--from", tmp_path / "pickled.npy"], "cannot be read"),
        (["put", place.queue, "--server", "nats://x", export, "decode"], "--engine nats"),
        (["run", *queue, export], "no queue"),
        (["run", *queue, export, "--workers", 0], "expected --workers"),
        (["run", *queue, export, "--limit", "nan"], "expected --limit"),
        (["status", *queue], "no queue"),
        (["results", *queue], "no queue"),
    ):
        assert expected in refused(work.main, *args), args


def test_another_export(place, export, refused, tmp_path):
    """A worker computes nothing with other parameters than the jobs were put for."""
    work.main(["put", *at(place), str(export), "sample", "--n", "3"])
    other = shutil.copytree(export, tmp_path / "other")
    write_manifest(other, dataclasses.replace(read_manifest(other), jensen="of another version"))
    assert "jobs are of the export" in refused(work.main, "run", *at(place), other)
    assert "queue of other jobs" in refused(work.main, "put", *at(place), other, "sample", "--n", 3)
    assert "no results yet" in refused(work.main, "results", *at(place), "--out", tmp_path / "out")
    assert "no dead letter" in refused(work.main, "revive", *at(place), "sample-1")


def test_a_worker_that_dies_is_replaced(capsys):
    """By another, until one ends well; where one is refused what all need, all end."""
    codes = iter([70, 0, 5, 0])

    def start():
        process = FORK.Process(target=os._exit, args=(next(codes),))
        process.start()
        return process

    processes.supervised(start, 2)
    said = capsys.readouterr().out
    assert re.search(r"worker \d+ took too long: \d+ is in its place", said)
    assert re.search(r"worker \d+ ended with code 5", said)
    codes = iter([2, 0])
    with pytest.raises(InputError, match="could not go on"):
        processes.supervised(start, 2)


@pytest.mark.slow
def test_the_command_loses_a_worker(export, tmp_path):
    """In processes of its own, of which one is killed; SIGTERM gives back what the others have."""
    queue = str(tmp_path / "queue")
    work.main(["put", queue, str(export), "sample", "--n", "800"])
    command = [sys.executable, "-m", "jensen.experiments.work", "run", queue, str(export), "--workers", "2"]
    with (
        subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process,
        closing(Place(queue).open()) as opened,
    ):
        until(lambda: opened.counts().done > 20)
        os.kill(workers(process.pid)[0], signal.SIGKILL)
        assert "was killed by SIGKILL" in process.stdout.readline()
        process.terminate()
        assert process.wait(PATIENCE) == 128 + signal.SIGTERM
        assert len(opened.take(800)) + opened.counts().done > 780  # at most one batch is still leased to the killed
    assert subprocess.run([*command, "--wait", "0"], timeout=PATIENCE).returncode == 0


def workers(pid):
    """The ids of the processes of the command's workers, which its server of forks has forked."""
    found = {int(path.name): path.joinpath("stat").read_text() for path in Path("/proc").glob("[0-9]*")}
    parents = {each: int(stat.rpartition(")")[2].split()[1]) for each, stat in found.items()}
    servers = [each for each, parent in parents.items() if parent == pid]
    return [each for each, parent in parents.items() if parent in servers]


def one(path):
    np.save(path, np.ones((1, LATENT), np.float32))
    return path

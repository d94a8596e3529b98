"""The command as its users run it: real processes, real signals, real failures."""

import os
import signal
import subprocess
import time

import pytest

from jensen.experiments import runs, train
from jensen.experiments.settings import Settings
from tests.experiments.process import FAST, KILL, command, contents, same_files, start
from tests.experiments.test_data import write_mnist, write_static


def test_a_run_leaves_a_report_and_figures(whole):
    folder, printed = whole
    assert {p.name for p in folder.iterdir()} == {
        "config.json", "metrics.jsonl", "last.safetensors", "figures", "report.json", "report.txt", "timing.json",
    }  # fmt: skip
    figures = {p.name for p in (folder / "figures").iterdir()}
    assert figures == {"training.png", "reconstructions.png", "samples.png", "latent.png"}
    for line in ("−ELBO", "= reconstruction", "+ KL", "NLL (K = 5)", "bits/dim", "active units", "independent pixels"):
        assert line in printed
    assert "s training" in printed
    assert len(printed.splitlines()) < 24
    assert (folder / "report.txt").read_text() in printed


@pytest.mark.parametrize("step", [20, 50, 73])
def test_kill_9_and_resume_leave_the_files_of_an_uninterrupted_run(whole, tmp_path, step):
    """At step 50, just after the checkpoint; at 73, with rows beyond it; at 20, before there is any."""
    folder = tmp_path / "killed"
    killed = start(*FAST, "--out", folder, before=KILL.format(step=step))
    assert killed.returncode == -signal.SIGKILL
    assert not (folder / "report.json").exists()
    resumed = start("--resume", folder)
    assert resumed.returncode == 0, resumed.stderr
    same_files(whole[0], folder)


@pytest.mark.parametrize(("signum", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_saves_and_exits(tmp_path, signum, code):
    folder = tmp_path / "stopped"
    options = [*FAST, "--steps", "1000000", "--checkpoint-every", "1000000", "--out", str(folder)]
    process = subprocess.Popen(command(*options), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    deadline = time.monotonic() + 60
    while len(runs.read_metrics(folder)) < 2 and time.monotonic() < deadline:
        time.sleep(0.05)
    process.send_signal(signum)
    _, errors = process.communicate(timeout=30)
    assert process.returncode == code, errors
    assert errors.startswith("stopped at step ")
    assert errors.endswith(" with a checkpoint saved; go on with --resume\n")
    assert "Traceback" not in errors
    settings = runs.read_settings(folder)
    _, state = runs.load_checkpoint(folder / runs.LAST, settings)
    rows = runs.read_metrics(folder)
    assert state["step"] >= rows[-1]["step"] >= 20


FULL_DISK = """
import resource, signal
from jensen.experiments import runs, train
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
original = runs.save_checkpoint
def fill_after(*args):
    original(*args)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, resource.RLIM_INFINITY))
runs.save_checkpoint = fill_after
"""


def test_a_full_disk_leaves_the_last_good_checkpoint(whole, tmp_path):
    """The second checkpoint's write fails half-way, at 20,000 bytes; the first stays, and the run can go on from it."""
    folder = tmp_path / "full"
    failed = start(*FAST, "--out", folder, before=FULL_DISK)
    assert failed.returncode == 2
    assert "could not be written" in failed.stderr
    assert f"--resume {folder}" in failed.stderr
    assert len(failed.stderr.strip().splitlines()) == 1
    assert not list(folder.rglob("*.partial"))
    _, state = runs.load_checkpoint(folder / runs.LAST, runs.read_settings(folder))
    assert state["step"] == 50
    assert start("--resume", folder).returncode == 0
    same_files(whole[0], folder)


METRICS_DISK = """
import resource, signal
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
from jensen.experiments import loop
original = loop.warmup_cosine
def fill(step, *rest):
    if step == 30:
        resource.setrlimit(resource.RLIMIT_FSIZE, (100, resource.RLIM_INFINITY))
    return original(step, *rest)
loop.warmup_cosine = fill
"""


def test_a_full_disk_under_the_metrics_is_one_clear_line(tmp_path):
    failed = start(*FAST, "--out", tmp_path / "full", before=METRICS_DISK)
    assert failed.returncode == 2, failed.stderr
    assert "metrics.jsonl could not be written" in failed.stderr
    assert len(failed.stderr.strip().splitlines()) == 1


def test_a_finished_run_can_be_resumed_and_says_the_same(whole, tmp_path):
    folder, _ = whole
    before = contents(folder)
    assert start("--resume", folder).returncode == 0
    assert contents(folder) == before


def test_of_two_runs_for_one_folder_one_is_told(tmp_path):
    folder = tmp_path / "both"
    processes = [subprocess.Popen(command(*FAST, "--seed", seed, "--out", folder), stderr=subprocess.PIPE, text=True,
                                  stdout=subprocess.DEVNULL) for seed in (0, 1)]  # fmt: skip
    errors = [process.communicate(timeout=120)[1] for process in processes]
    assert sorted(process.returncode for process in processes) == [0, 2], errors
    assert any("holds a run" in error for error in errors)
    seed = [process.returncode for process in processes].index(0)
    assert runs.read_settings(folder).seed == seed


def test_what_does_not_decide_the_parameters_may_change_on_resume(whole, tmp_path):
    folder = tmp_path / "killed"
    start(*FAST, "--out", folder, before=KILL.format(step=60))
    done = start("--resume", folder, "--on-nan", "skip", "--evidence-k", "7")
    assert done.returncode == 0, done.stderr
    assert "NLL (K = 7)" in done.stdout
    ours, theirs = (runs.load_checkpoint(f / runs.LAST, runs.read_settings(f)) for f in (folder, whole[0]))
    assert ours[1] == theirs[1]
    assert all((ours[0][name] == t).all() for name, t in theirs[0].items())


def test_mnist_files_train_end_to_end(tmp_path):
    data = tmp_path / "data"
    data.mkdir()
    write_mnist(data, n=40, test=12)
    options = [
        "--data",
        "mnist",
        "--data-dir",
        data,
        "--network",
        "conv",
        "--channels",
        "4",
        "6",
        "--activation",
        "relu",
    ]
    rest = ["--pixels", "grey", "--likelihood", "continuous-bernoulli", "--bound", "iwae", "--k", "3", "--latent", "3"]
    sizes = ["--no-compile", "--steps", "4", "--batch", "8", "--evidence-k", "3", "--out", tmp_path / "run"]
    done = start(*options, *rest, *sizes)
    assert done.returncode == 0, done.stderr
    assert "continuous-bernoulli likelihood, 4 steps" in done.stdout


@pytest.mark.parametrize(
    ("options", "row"),
    [
        (["--bound", "iwae", "--k", "3", "--layers", "2"], "score with baseline leave-one-out, of the iwae at k = 3"),
        (["--estimator", "relax", "--units", "10"], "relax, of the elbo at k = 1"),
    ],
    ids=["two layers", "relax"],
)
def test_a_belief_net_trains_end_to_end(tmp_path, capsys, options, row):
    write_static(tmp_path, n=40, test=12)
    data = ["--model", "sbn", "--data", "mnist-static", "--data-dir", str(tmp_path), "--units", "5"]
    sizes = ["--no-compile", "--steps", "4", "--batch", "8", "--evidence-k", "3", "--out", str(tmp_path / "run")]
    train.run(train.command_line([*data, *sizes, *options]))
    printed = capsys.readouterr().out
    assert "sbn on mnist-static: 12 test images of 784 static pixels, bernoulli likelihood, 4 steps" in printed
    assert row in printed
    assert "of 10" in printed
    figures = {p.name for p in (tmp_path / "run" / "figures").iterdir()}
    assert figures == {"training.png", "reconstructions.png", "samples.png", "latent.png"}


def test_settings_survive_the_file():
    settings = Settings(hidden=(3, 4), clip=0.5, k=7)
    assert Settings.from_saved(settings.saved()) == settings


def test_a_write_replaces_whole_files_only(tmp_path, monkeypatch):
    path = tmp_path / "a.json"
    runs.write_atomically(path, b"old")
    monkeypatch.setattr(os, "fsync", lambda fd: (_ for _ in ()).throw(OSError(28, "No space left on device")))
    with pytest.raises(runs.InputError, match=r"could not be written \(No space left on device\)"):
        runs.write_atomically(path, b"new")
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]

"""The command as its users run it: whole runs, kills, signals, disks that fill, folders that are taken."""

import dataclasses
import json
import os
import shutil
import signal
import subprocess

import numpy as np
import pytest
import torch

from jensen.experiments import evaluate, train
from jensen.experiments.data.mnist import STATIC
from jensen.experiments.programs.command_line import parse
from jensen.experiments.recipes import RECIPES
from jensen.experiments.report import png
from jensen.experiments.run import config, metrics, session
from jensen.experiments.run.folder import RunFolder
from jensen.experiments.run.loop import Loop
from jensen.experiments.run.metrics import Metrics
from tests.experiments.data.test_images import write_mnist, write_static
from tests.experiments.process import FAST, child, command, contents, last, run, same_files, settings, was_killed

FIGURES = {"training.png", "reconstructions.png", "samples.png", "latent.png"}


def test_a_run_leaves_a_report_and_figures(whole):
    folder, printed = whole
    assert {p.name for p in folder.iterdir()} == {
        "config.json", "metrics.jsonl", "step-000100.safetensors", "figures", "report.json", "report.txt",
        "timing.json", ".lock",
    }  # fmt: skip
    assert {p.name for p in (folder / "figures").iterdir()} == FIGURES
    for line in ("−ELBO", "= reconstruction", "+ KL", "NLL (K = 5)", "bits/dim", "active units", "independent pixels"):
        assert line in printed
    assert "vae on digits: 360 test images of 64 dynamic pixels, bernoulli likelihood, 100 steps" in printed
    assert "s training" in printed
    assert len(printed.splitlines()) < 24
    assert (folder / "report.txt").read_text() in printed
    rows = metrics.read(folder)
    assert sum(row["kind"] == "held-out" for row in rows) == 2  # at the end of the first epoch, and of the run
    assert sum(row["kind"] == "train" for row in rows) == 10


def stopping(monkeypatch, step, act):
    """The loop with something that happens before a step."""
    original = Loop.step

    def stop(self):
        if self.progress.step == step:
            act()
        original(self)

    monkeypatch.setattr(Loop, "step", stop)


def test_kill_9_and_resume_leave_the_files_of_an_uninterrupted_run(whole, tmp_path, monkeypatch):
    """A real kill at step 73, with rows beyond the last checkpoint."""
    folder = tmp_path / "killed"
    with monkeypatch.context() as patch:
        stopping(patch, 73, lambda: os.kill(os.getpid(), signal.SIGKILL))
        assert was_killed(child([*FAST, "--out", folder]))
    assert not (folder / "report.json").exists()
    assert [row["step"] for row in metrics.read(folder)][-1] == 71
    run("--resume", folder)
    same_files(whole[0], folder)


@pytest.mark.parametrize("step", [20, 50])
def test_a_run_that_ended_at_any_step_goes_on_to_the_same_files(whole, tmp_path, monkeypatch, step):
    """At step 50, just after the checkpoint; at 20, before there is any."""
    with monkeypatch.context() as patch:
        stopping(patch, step, lambda: (_ for _ in ()).throw(KeyError))
        with pytest.raises(KeyError):
            run(*FAST, "--out", tmp_path / "run")
    run("--resume", tmp_path / "run")
    same_files(whole[0], tmp_path / "run")


@pytest.fixture
def interruptible():
    """What a shell starts in the background ignores SIGINT, and hands that on."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.parametrize(("signum", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)])
def test_a_signal_saves_and_exits(signum, code, tmp_path, whole, monkeypatch, interruptible, refused):
    with monkeypatch.context() as patch:
        stopping(patch, 15, lambda: os.kill(os.getpid(), signum))
        line = refused(train.main, *FAST, "--out", tmp_path / "run", code=code)
    assert line == "stopped at step 16 with a checkpoint saved; go on with --resume"
    assert last(tmp_path / "run")[1].state["step"] == 16
    run("--resume", tmp_path / "run")
    same_files(whole[0], tmp_path / "run")


@pytest.mark.parametrize("place", [(Loop, "resume"), (RunFolder, "begin"), (Metrics, "__enter__")], ids=str)
def test_an_interrupt_before_the_first_step_is_no_dead_end(place, tmp_path, whole, monkeypatch, interruptible, refused):
    with monkeypatch.context() as patch:
        patch.setattr(*place, lambda *args: os.kill(os.getpid(), signal.SIGINT))
        assert refused(train.main, *FAST, "--out", tmp_path / "run", code=130) == "interrupted; go on with --resume"
    run(*(["--resume"] if (tmp_path / "run/config.json").exists() else [*FAST, "--out"]), tmp_path / "run")
    same_files(whole[0], tmp_path / "run")


def full(monkeypatch, name):
    """A disk that has no room for files of a name."""
    original = os.fsync

    def sync(fd):
        if name in os.readlink(f"/proc/self/fd/{fd}"):
            raise OSError(28, "No space left on device")
        original(fd)

    monkeypatch.setattr(os, "fsync", sync)


def test_a_full_disk_leaves_the_last_good_checkpoint(whole, tmp_path, monkeypatch, refused):
    folder = tmp_path / "full"
    with monkeypatch.context() as patch:
        full(patch, "step-000100")
        line = refused(train.main, *FAST, "--out", folder)
    assert "step-000100.safetensors could not be written (No space left on device): make room" in line
    assert line.endswith(f"--resume {folder}")
    assert not list(folder.rglob("*.partial"))
    assert last(folder)[1].state["step"] == 50
    run("--resume", folder)
    same_files(whole[0], folder)


def test_a_run_whose_figures_cannot_be_written_has_not_finished(finished, monkeypatch, refused):
    shutil.rmtree(finished / "figures")
    with monkeypatch.context() as patch:
        full(patch, ".png")
        line = refused(train.main, "--resume", finished)
    assert "training.png could not be written (No space left on device): make room, then go on" in line
    assert not (finished / "report.json").exists()
    assert not list(finished.rglob("*.p*"))


def test_a_finished_run_can_be_resumed_and_says_the_same(finished):
    before = contents(finished)
    run("--resume", finished)
    assert contents(finished) == before


def test_training_stopped_in_its_evaluation_can_go_on(whole, finished, monkeypatch, refused):
    from jensen.experiments import report

    with monkeypatch.context() as patch:
        patch.setattr(report, "evaluate", lambda *args: os.kill(os.getpid(), signal.SIGTERM))
        assert refused(train.main, "--resume", finished, code=143) == "terminated; go on with --resume"
    assert not (finished / "report.json").exists()
    run("--resume", finished)
    same_files(whole[0], finished)


def test_of_two_processes_on_one_run_one_is_refused(finished):
    """The one that is first runs until the other has been refused."""
    wait = "import time\nfrom jensen.experiments.run.loop import Loop\nLoop.fit = lambda self: time.sleep(60)\n"
    first = subprocess.Popen(command("--resume", finished, before=wait), stdout=subprocess.PIPE, text=True)
    assert first.stdout is not None
    assert first.stdout.readline().startswith("run folder")
    try:
        with pytest.raises(SystemExit):
            train.main(["--resume", str(finished)])
    finally:
        first.kill()
        first.communicate()
    run("--resume", finished)


def test_what_does_not_decide_the_parameters_may_change_on_resume(whole, tmp_path, monkeypatch):
    folder = tmp_path / "run"
    with monkeypatch.context() as patch:
        stopping(patch, 60, lambda: (_ for _ in ()).throw(KeyError))
        with pytest.raises(KeyError):
            run(*FAST, "--out", folder)
    printed = run("--resume", folder, "--on-nan", "skip", "--evidence-k", "7", "--keep", "2", "--log-every", "20",
                  "--device", "cpu:0")  # fmt: skip
    assert "NLL (K = 7)" in printed
    ours, theirs = last(folder)[1], last(whole[0])[1]
    assert all(torch.equal(ours.tensors[name], t) for name, t in theirs.tensors.items())


def test_a_run_can_be_extended(finished):
    assert "150 steps" in run("--keep", "2", "--steps", "150", "--resume", finished)
    assert last(finished)[1].state["step"] == 150
    assert settings(finished).run.steps == 150


def test_mnist_files_train_end_to_end_and_figures_are_drawn(tmp_path, monkeypatch):
    monkeypatch.setattr(session, "png", png)
    data = tmp_path / "data"
    data.mkdir()
    write_mnist(data, n=40, test=12)
    options = ["--data", "mnist", "--data-dir", data, "--network", "conv", "--channels", 4, 6, "--activation", "relu"]
    rest = ["--pixels", "grey", "--likelihood", "continuous-bernoulli", "--bound", "iwae", "--k", 3, "--latent", 3]
    sizes = ["--no-compile", "--steps", 4, "--batch", 8, "--evidence-k", 3, "--out", tmp_path / "run"]
    assert "continuous-bernoulli likelihood, 4 steps" in run("vae", *options, *rest, *sizes)
    drawn = {p.name: p.read_bytes() for p in (tmp_path / "run" / "figures").iterdir()}
    assert drawn.keys() == FIGURES
    assert all(content.startswith(b"\x89PNG") for content in drawn.values())


@pytest.mark.parametrize(
    "options",
    [["--bound", "iwae", "--k", "3", "--layers", "2"], ["--estimator", "relax", "--units", "10"]],
    ids=["two layers", "relax"],
)
def test_a_belief_net_trains_end_to_end(tmp_path, options):
    write_static(tmp_path, n=40, test=12)
    data = ["sbn", "--data", "mnist-static", "--data-dir", tmp_path, "--units", 5]
    sizes = ["--no-compile", "--steps", 4, "--batch", 8, "--evidence-k", 3, "--out", tmp_path / "run"]
    printed = run(*data, *sizes, *options)
    assert "sbn on mnist-static: 12 test images of 784 static pixels, 4 steps" in printed
    assert "of 10" in printed
    assert {p.name for p in (tmp_path / "run" / "figures").iterdir()} == FIGURES


def test_a_moved_data_folder_is_no_other_run(tmp_path):
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        write_static(tmp_path / name, n=40, test=12)
    sizes = ["--no-compile", "--steps", 4, "--batch", 8, "--evidence-k", 3, "--out", tmp_path / "run", "--units", 5]
    run("sbn", "--data", "mnist-static", "--data-dir", tmp_path / "one", *sizes)
    shutil.rmtree(tmp_path / "one")
    run("--resume", tmp_path / "run", "--data-dir", tmp_path / "two", "--steps", 6)


@pytest.mark.parametrize(
    ("of", "image"), [("train", 0), ("train", -1), ("test", 0)], ids=["trained", "held-out", "test"]
)
def test_other_data_in_the_same_place_are_refused(of, image, tmp_path, refused):
    """One bit of what a run is trained on, of what stops it, or of what it is judged by."""
    write_static(tmp_path, n=40, test=12)
    sizes = ["--no-compile", "--steps", 4, "--batch", 8, "--evidence-k", 3, "--out", tmp_path / "run", "--units", 5]
    run("sbn", "--data", "mnist-static", "--data-dir", tmp_path, *sizes, "--held-out", 0.1)
    with np.load(tmp_path / STATIC) as file:
        arrays = dict(file)
    arrays[of][image, 5] ^= 4
    np.savez(tmp_path / STATIC, **arrays)
    for main, args in ((train.main, ["--resume", tmp_path / "run"]), (evaluate.main, [tmp_path / "run"])):
        assert "is of a run on other data than are here now" in refused(main, *args)


def test_an_extension_that_is_killed_has_no_report_and_its_time_adds_up(finished, monkeypatch):
    before = json.loads((finished / "timing.json").read_text())
    with monkeypatch.context() as patch:
        stopping(patch, 120, lambda: (_ for _ in ()).throw(KeyError))
        with pytest.raises(KeyError):
            run("--resume", finished, "--steps", 150)
    assert not (finished / "report.json").exists()
    assert not (finished / "report.txt").exists()
    between = json.loads((finished / "timing.json").read_text())
    assert between["training_s"] > before["training_s"]
    assert between["evaluation_s"] == before["evaluation_s"]
    run("--resume", finished)
    after = json.loads((finished / "timing.json").read_text())
    assert all(after[name] > between[name] for name in after)
    assert json.loads((finished / "report.json").read_text())["steps"] == 150


@pytest.mark.parametrize("name", RECIPES)
def test_a_recipe_is_the_settings_of_a_run_that_can_be_overridden(name):
    recipe = RECIPES[name]()
    recipe.check()
    kind, parsed = parse([name, "--seed", "7", *(["--data-dir", "."] if "mnist" in name or "static" in name else [])])
    assert kind == type(recipe).__name__.lower()
    expected = dataclasses.replace(recipe, run=dataclasses.replace(recipe.run, seed=7))
    assert config.differences(expected, parsed) == ""

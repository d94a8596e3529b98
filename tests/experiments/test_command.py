"""However a command is stopped, it says so in one line, and what it leaves is whole or not there."""

import os
import shutil
import signal

import pytest
import torch

from jensen.experiments import (
    assessment_figures,
    bounds,
    discrete_estimators,
    evaluate,
    gradient_variance,
    loop,
    runs,
    train,
)
from jensen.experiments.command import command
from tests.experiments.process import FEW, contents
from tests.experiments.test_data import write_static

ENDS = {signal.SIGINT: (130, "interrupted; "), signal.SIGTERM: (143, "terminated; ")}


@pytest.fixture(autouse=True)
def interruptible():
    """What a shell starts in the background ignores SIGINT, and hands that on."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def killed(signum):
    """In the place of a function: the signal arrives there."""
    return lambda *args, **options: os.kill(os.getpid(), signum)


@pytest.mark.parametrize("signum", ENDS)
def test_a_script_stops_in_one_line_and_leaves_no_rows(signum, tmp_path, monkeypatch, refused):
    code, told = ENDS[signum]
    for script, work in ((bounds, "measure"), (gradient_variance, "all_problems"), (discrete_estimators, "options")):
        with monkeypatch.context() as patch:
            patch.setattr(script, work, killed(signum))
            assert refused(script.main, "--out", tmp_path / "out", code=code).startswith(f"{told}run it again")
        assert not list(tmp_path.glob("out/*"))


def test_training_stopped_in_its_evaluation_can_go_on(whole, finished, monkeypatch, refused):
    (finished / "report.json").unlink()
    with monkeypatch.context() as patch:
        patch.setattr(train, "evaluate", killed(signal.SIGTERM))
        assert refused(train.main, "--resume", finished, code=143) == "terminated; go on with --resume"
    assert not (finished / "report.json").exists()
    train.run(train.command_line(["--resume", str(finished)]))
    assert contents(finished) == contents(whole[0])


@pytest.mark.parametrize(
    ("place", "signum"),
    [
        ((evaluate, "assess"), signal.SIGINT),
        ((assessment_figures, "weights"), signal.SIGTERM),
        ((runs, "write_rows"), signal.SIGTERM),
    ],
    ids=["measuring", "drawing", "writing"],
)
def test_an_evaluation_is_left_whole_or_not_at_all(place, signum, finished, monkeypatch, refused):
    before, (code, told) = contents(finished), ENDS[signum]
    few = [*FEW, "--gap-images", 0]
    with monkeypatch.context() as patch:
        patch.setattr(*place, killed(signum))
        assert refused(evaluate.main, finished, *few, code=code) == f"{told}run it again"
    assert contents(finished) == before
    old = finished / "evaluation"
    old.mkdir()
    (old / "report.json").write_text("{}")
    with monkeypatch.context() as patch:
        patch.setattr(*place, killed(signum))
        refused(evaluate.main, finished, *few, code=code)
    assert contents(finished) == before | {"evaluation/report.json": b"{}"}


def test_the_discrete_estimators_stop_in_their_training(tmp_path, monkeypatch, refused):
    write_static(tmp_path, n=200, test=12)
    original = loop.warmup_cosine

    def stop(step, *rest):
        if step == 1:
            os.kill(os.getpid(), signal.SIGTERM)
        return original(step, *rest)

    monkeypatch.setattr(loop, "warmup_cosine", stop)
    monkeypatch.setattr(loop, "compiled", lambda f: f)
    args = ["--data", "mnist-static", "--data-dir", tmp_path, "--units", 3, "--out", tmp_path / "all"]
    told = refused(discrete_estimators.main, *args, code=143)
    assert told == "stopped at step 2 with a checkpoint saved; run it again to go on"


@pytest.mark.parametrize(
    "error",
    [
        MemoryError(),
        torch.OutOfMemoryError("CUDA out of memory"),
        RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes"),
        OverflowError("int too big to convert"),
    ],
)
def test_sizes_that_do_not_fit_are_one_clear_line(error, refused):
    def main():
        with command("run it again", "--k"):
            raise error

    assert refused(main) == "error: this does not fit in memory: lower --k"


def test_real_sizes_that_do_not_fit(tmp_path, refused):
    told = refused(train.main, "--no-compile", "--latent", 2**31 - 1, "--out", tmp_path / "run")
    assert told.endswith("lower --k, --batch, --evidence-k or the network")
    assert "lower --draws or --data" in refused(bounds.main, "--draws", 10**14, "--out", tmp_path / "bounds")


@pytest.mark.parametrize("error", [RuntimeError("a bug"), OverflowError("math range error"), KeyError("a bug")])
def test_bugs_keep_their_traceback(error):
    with pytest.raises(type(error)), command("run it again", "--k"):
        raise error


def test_the_signal_is_as_usual_afterwards():
    before = signal.getsignal(signal.SIGTERM)
    with command("run it again", "--k"):
        assert signal.getsignal(signal.SIGTERM) is not before
    assert signal.getsignal(signal.SIGTERM) is before


def test_a_run_whose_figures_cannot_be_written_has_not_finished(finished, monkeypatch, refused):
    """The disk is full from the first figure on, and no part of one is left."""
    for name in ("report.json", "report.txt"):
        (finished / name).unlink()
    shutil.rmtree(finished / "figures")
    original = os.fsync

    def full(fd):
        if os.readlink(f"/proc/self/fd/{fd}").count(".png"):
            raise OSError(28, "No space left on device")
        original(fd)

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        told = refused(train.main, "--resume", finished)
    assert "training.png could not be written (No space left on device): make room, then go on" in told
    assert told.endswith(f"--resume {finished}")
    assert not (finished / "report.json").exists()
    assert not list(finished.rglob("*.p*"))


def test_a_full_disk_leaves_the_old_evaluation(finished, monkeypatch, refused):
    before = contents(finished)
    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", lambda fd: (_ for _ in ()).throw(OSError(28, "No space left on device")))
        told = refused(evaluate.main, finished, *FEW, "--gap-images", 0)
    assert told.endswith("make room, then run the command again")
    assert contents(finished) == before


def test_a_folder_in_the_way_of_a_figure_is_one_clear_line(tmp_path, refused):
    (tmp_path / "bounds.png").mkdir()
    few = ["--samples", 1, 4, "--draws", 400, "--data", 2, "--scales", 0.6, "--shifts", 1, "--out", tmp_path]
    assert "bounds.png could not be written (Is a directory): move it away" in refused(bounds.main, *few)
    assert [path.name for path in tmp_path.iterdir()] == ["bounds.png"]

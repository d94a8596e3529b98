"""torchrun itself, with real processes: they train as one, and where one is killed the run starts again and goes on."""

import os
import subprocess
import sys
import time

import pytest

from jensen.experiments.run import checkpoints, folder
from tests.experiments.process import FAST, FEW, last, run

BEGINNING = """
import os, pathlib, signal, sys, time
from jensen.experiments import evaluate, train
from jensen.experiments.report import judging
from jensen.experiments.run.loop import Loop

def sabotage():
    if os.environ["RANK"] == "1" and os.environ["TORCHELASTIC_RESTART_COUNT"] == "0":
        pathlib.Path(__file__).with_suffix(".began").write_text(str(time.time()))
        HOW

"""
TRAINED = """
step = Loop.step

def sabotaged(self):
    if self.progress.step == 60:
        sabotage()
    step(self)

Loop.step = sabotaged
train.main(sys.argv[1:])
"""
EVALUATED = """
assess = judging.assess

def sabotaged(*args):
    sabotage()
    return assess(*args)

judging.assess = sabotaged
evaluate.main(sys.argv[1:])
"""
HOW = {
    "killed": "os.kill(os.getpid(), signal.SIGKILL)",
    "stopped": "os.kill(os.getpid(), signal.SIGSTOP)",
    "hangs": "time.sleep(600)",
    "raises": "raise ZeroDivisionError",
}


def torchrun(*args):
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", *args]
    return subprocess.run(
        command, capture_output=True, text=True, timeout=240, env={**os.environ, "OMP_NUM_THREADS": "1"}
    )


def test_a_killed_rank_is_started_again_and_the_run_ends_as_that_of_one_process(tmp_path):
    """The batch of 20 of 1,437 images leaves an epoch's last batch of 17, which two ranks share."""
    args = [*FAST, "--keep-last", "--dtype", "float64", "--out"]
    script = tmp_path / "train.py"
    script.write_text((BEGINNING + TRAINED).replace("HOW", HOW["killed"]))
    ended = torchrun("--max-restarts", "1", str(script), "vae", *args, str(tmp_path / "two"))
    assert ended.returncode == 0, ended.stderr[-2000:]
    assert "rank 0 waits in vain for rank 1" in ended.stderr
    assert ended.stdout.count("run folder") == 2
    assert ended.stdout.count("active units") == 1
    run("vae", *args, tmp_path / "one")
    (_, two), (_, one) = last(tmp_path / "two"), last(tmp_path / "one")
    assert two.state["step"] == one.state["step"] == 100
    for name, t in one.tensors.items():
        assert (two.tensors[name] - t).abs().max() < 1e-10, name
    assert folder.RunFolder(tmp_path / "two", None, "").finished


def lost(script, how, *args):
    """What a job writes whose second rank is lost; it has ended within a minute of that."""
    script.write_text(script.read_text().replace("HOW", HOW[how]))
    ended = torchrun(str(script), *args)
    seconds = time.time() - float(script.with_suffix(".began").read_text())
    print(f"{script.stem}, {how}: {seconds:.1f} s")
    assert ended.returncode
    assert seconds < 60
    return ended.stderr


@pytest.mark.slow
@pytest.mark.parametrize("how", HOW)
def test_an_evaluation_that_has_lost_a_rank_has_ended_within_a_minute_and_names_it(tmp_path, finished, how):
    """torchrun names the one that ends by itself, and the others the one that does not."""
    script = tmp_path / "evaluate.py"
    script.write_text(BEGINNING + EVALUATED)
    said = lost(script, how, str(finished), *FEW)
    by_itself = how in ("killed", "raises")
    assert ("rank      : 1 (local_rank: 1)" if by_itself else "rank 0 waits in vain for rank 1") in said
    assert not (finished / "evaluation").exists()


@pytest.mark.slow
@pytest.mark.parametrize("how", HOW)
def test_a_run_that_has_lost_a_rank_has_ended_within_a_minute_and_names_it(tmp_path, how):
    script = tmp_path / "train.py"
    script.write_text(BEGINNING + TRAINED)
    said = lost(script, how, "vae", *FAST, "--out", str(tmp_path / "run"))
    assert "rank 0 waits in vain for rank 1" in said
    assert "go on with --resume" in said
    assert checkpoints.load(folder.series(tmp_path / "run")[-1]).state["step"] == 50

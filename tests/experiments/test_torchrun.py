"""torchrun itself, with real processes: they train as one, and where one is killed the run starts again and goes on."""

import os
import subprocess
import sys

from jensen.experiments.run import folder
from tests.experiments.process import FAST, last, run

KILLED_ONCE = """
import os, signal, sys
from jensen.experiments import train
from jensen.experiments.run.loop import Loop

step = Loop.step

def sabotaged(self):
    if self.progress.step == 60 and os.environ["RANK"] == "1" and os.environ["TORCHELASTIC_RESTART_COUNT"] == "0":
        os.kill(os.getpid(), signal.SIGKILL)
    step(self)

Loop.step = sabotaged
train.main(sys.argv[1:])
"""


def torchrun(*args):
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", *args]
    return subprocess.run(
        command, capture_output=True, text=True, timeout=240, env={**os.environ, "OMP_NUM_THREADS": "1"}
    )


def test_a_killed_rank_is_started_again_and_the_run_ends_as_that_of_one_process(tmp_path):
    """The batch of 20 of 1,437 images leaves an epoch's last batch of 17, which two ranks share."""
    args = [*FAST, "--keep-last", "--dtype", "float64", "--out"]
    script = tmp_path / "train.py"
    script.write_text(KILLED_ONCE)
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

"""Trials on Ray's workers: the bits of one process, none lost with its worker, and nothing within others' reach."""

import importlib
import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from jensen.experiments import sweep
from tests.experiments.process import FAST, contents

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]
COMMAND = ["--", "vae", *[arg for arg in FAST if arg not in ("--latent", "2")], "--steps", "600"]
FIRST = 50  # the step of the first checkpoint
VARY = ("config.json", ".png")
LOOPBACK = {"127.0.0.1", "::ffff:127.0.0.1", "::1"}


def ran(*args):
    sweep.main(list(map(str, args)))


def started(*args):
    """The sweep in a process of its own."""
    code = f"from jensen.experiments import sweep; sweep.main({list(map(str, args))!r})"
    command = [sys.executable, "-W", "error", "-c", code]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def worker(folder):
    """The id of the process that trains in a folder, from its second checkpoint on; None where there is none."""
    steps = [int(path.stem.removeprefix("step-")) for path in folder.glob("step-*.safetensors")]
    if max(steps, default=0) <= FIRST:  # the one before is kept for a moment alone
        return None
    pid = (folder / ".lock").read_text()
    return int(pid) if pid and Path("/proc", pid).exists() else None


def once(process, found, seconds=150):
    """What is found at last, while the process runs."""
    end = time.monotonic() + seconds
    while (value := found()) is None:
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < end
        time.sleep(0.01)
    return value


def psutil():
    """Which Ray brings along."""
    importlib.import_module("ray")
    return importlib.import_module("psutil")


def rows(out):
    """By setting and seed, without seconds."""
    found = [json.loads(line) for line in (out / "trials.jsonl").read_text().splitlines()]
    for row in found:
        row["numbers"].pop("training_s", None)
    return {(*row["settings"].values(), row["seed"]): row for row in found}


def runs(out):
    """What runs left: checkpoints, metrics and reports; settings have the folder, and this process sketches figures."""
    return {name: bits for name, bits in contents(out).items() if "/seed-0/" in name and not name.endswith(VARY)}


@pytest.fixture(scope="module")
def alone(tmp_path_factory):
    """A sweep of this process, after which nothing of it is left to be done."""
    out = tmp_path_factory.mktemp("sweeps") / "alone"
    ran("--over", "latent", "1", "2", "--seeds", 1, "--out", out, *COMMAND)
    return out


def test_the_bits_are_those_of_one_process_and_nothing_listens_beyond_the_loopback_address(alone, tmp_path):
    out, before = tmp_path / "sweep", {*Path("/tmp").glob("ray-*")}
    with started("--engine", "ray", "--over", "latent", "1", "2", "--seeds", 1, "--out", out, *COMMAND) as process:
        once(process, lambda: worker(out / "latent-1/seed-0"))
        children = psutil().Process(process.pid).children(recursive=True)
        ours = {process.pid, *(each.pid for each in children)}
        ports = [each for each in psutil().net_connections("inet") if each.status == "LISTEN" and each.pid in ours]
        store = max(each.memory_info().shared for each in children)
        output, error = process.communicate()
    assert process.returncode == 0, error
    assert (error, len(ports) > 4) == ("", True)
    assert {each.laddr.ip for each in ports} <= LOOPBACK
    assert store < 512 * 2**20
    assert rows(out) == rows(alone)
    assert runs(out) == runs(alone)
    assert "2 trials, 0 of them done" in output
    psutil().wait_procs(children, 10)
    assert [each for each in children if each.is_running()] == []
    assert {*Path("/tmp").glob("ray-*")} == before


def test_a_trial_goes_on_when_its_worker_is_killed_and_has_failed_the_second_time(alone, tmp_path):
    """The other trial is as if nothing had happened; run again, the sweep does what is left, and that alone."""
    out, killed = tmp_path / "sweep", []
    args = ("--over", "latent", "1", "2", "--seeds", 1, "--out", out, *COMMAND)

    def kill(folder, times):
        for _ in range(times):
            pid = once(process, lambda: next((p for p in [worker(folder)] if p and p not in killed), None))
            killed.append(pid)
            os.kill(pid, signal.SIGKILL)

    killers = [threading.Thread(target=kill, args=(out / f"latent-{n}/seed-0", n)) for n in (1, 2)]
    with started("--engine", "ray", *args) as process:
        for each in killers:
            each.start()
        _, error = process.communicate()
    for each in killers:
        each.join()
    assert process.returncode == 2
    assert "1 of 2 trials failed, the first --latent 2 --seed 0: its worker was lost 2 times" in error
    assert len(set(killed)) == 3
    assert rows(out)["1", 0] == rows(alone)["1", 0]
    assert "its worker was lost 2 times" in rows(out)["2", 0]["error"]
    with started("--engine", "ray", *args) as process:
        output, _ = process.communicate()
    assert process.returncode == 0
    assert "2 trials, 1 of them done" in output
    assert rows(out) == rows(alone)
    assert runs(out) == runs(alone)


@pytest.mark.parametrize(("stop", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGKILL, -9)])
def test_a_sweep_that_is_stopped_leaves_no_process_and_goes_on(alone, tmp_path, stop, code):
    out = tmp_path / "sweep"
    args = ("--over", "latent", "1", "2", "--seeds", 1, "--out", out, *COMMAND)
    with started("--engine", "ray", *args) as process:
        once(process, lambda: worker(out / "latent-2/seed-0"))
        children = psutil().Process(process.pid).children(recursive=True)
        process.send_signal(stop)
        _, error = process.communicate()
    assert process.returncode == code
    assert code < 0 or "run it again to go on" in error
    _, left = psutil().wait_procs(children, 150)  # after a kill two agents of Ray's find that out by themselves
    assert left == []
    with started("--engine", "ray", *args) as process:
        process.communicate()
    assert process.returncode == 0
    assert rows(out) == rows(alone)


def test_rays_absence_is_no_skip():
    """These tests fail where `make laws` has not installed the extra."""
    assert shutil.which("ray", path=str(Path(sys.executable).parent))

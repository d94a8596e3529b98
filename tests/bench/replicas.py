"""What each engine of the service costs, and how soon it has a killed worker's place filled.

    python -m tests.bench.replicas

The decoder is 20-400-800-784 (tanh, sigmoid; 957,184 parameters), a request one row in binary, batches of 32, the
clients 32 connections. CPU is that of the front's process, and of it with its workers and whatever else it started.
Workers of the engines that have processes are two; one is killed under load. Ray is in an extra of its own:
`pip install 'jensen[sweep]'`, or its line is left out.
"""

import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from jensen.core import keys
from jensen.core.models.latent import vae
from jensen.core.trees import Params
from jensen.experiments.deployment import Argument, writing
from jensen.experiments.deployment.functions import Functions, Rows
from jensen.experiments.deployment.writing import Forms
from jensen.experiments.service.bodies import BINARY
from tests.bench.deployment import HIDDEN, LATENT, PIXELS
from tests.bench.service import load

SECONDS, WARM = 5.0, 2.0
TICK = os.sysconf("SC_CLK_TCK")


def exported(folder: Path) -> None:
    """The decoder as an export."""
    model = vae.mlp(PIXELS, HIDDEN[::-1], LATENT)
    params = model.init(keys.key(0), keys.uniform(keys.key(1), (2, PIXELS)).round())

    def decode(params: Params, z: Tensor) -> Tensor:
        return model.likelihood(params, z[None, None]).mean()[0, 0]

    z = Argument("z", "float32", (LATENT,), "a latent")
    rows = {"decode": Rows("the mean of data", torch.func.vmap(decode, (None, 0)), (z,), (("mean", "in [0, 1]"),))}
    source = folder.parent / "source"
    source.mkdir()
    (source / "config.json").write_text("{}")
    writing.write(source, "decoder", Functions(params, rows, {}), folder, Forms(False, False, False))


@contextmanager
def served(folder: Path, engine: str) -> Iterator[tuple[subprocess.Popen[str], list[dict[str, Any]]]]:
    """The service's process, and the lines of its log but those of requests."""
    command = [sys.executable, "-m", "jensen.experiments.serve", str(folder), "--engine", engine, "--port", "0"]
    process = subprocess.Popen(
        [*command, "--batch", "32"], stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True
    )
    lines: list[dict[str, Any]] = []

    def read() -> None:
        assert process.stderr is not None
        for line in process.stderr:
            if '"event":"request"' not in line:
                lines.append(json.loads(line) | {"at": time.monotonic()})

    threading.Thread(target=read, daemon=True).start()
    try:
        yield process, lines
    finally:
        process.terminate()
        process.wait(60)


def first(lines: list[dict[str, Any]], event: str, since: int = 0, seconds: float = 120) -> dict[str, Any]:
    """The first line of an event, waited for."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        for line in lines[since:]:
            if line["event"] == event:
                return line
        time.sleep(0.005)
    raise TimeoutError(f"no {event} in {seconds} s: {lines}")


def cpu(pid: int) -> float:
    """Seconds of a process, its threads' included."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICK


def family(pid: int) -> list[int]:
    """A process and all that it started."""
    found = Path(f"/proc/{pid}/task").glob("*/children")
    return [pid, *(each for path in found for child in path.read_text().split() for each in family(int(child)))]


def measured(folder: Path, engine: str) -> dict[str, object]:
    """Requests a second, milliseconds of CPU for each, MiB resident, and seconds from a kill to another worker."""
    with served(folder, engine) as (process, lines):
        port = first(lines, "serving")["port"]
        load(port, BINARY, WARM)
        pids = family(process.pid)
        before, everyone = cpu(process.pid), sum(map(cpu, pids))
        count = load(port, BINARY, SECONDS)
        front = 1000 * (cpu(process.pid) - before) / count
        total = 1000 * (sum(map(cpu, pids)) - everyone) / count
        found: dict[str, object] = {"requests/s": round(count / SECONDS), "CPU ms, front": round(front, 3),
                                    "CPU ms, all": round(total, 3), "MiB": sum(map(resident, pids))}  # fmt: skip
        if engine != "thread":
            asked = threading.Thread(target=load, args=(port, BINARY, SECONDS))  # which asserts that all are answered
            asked.start()
            time.sleep(1)
            worker, since = first(lines, "worker"), len(lines)
            os.kill(int(str(worker["id"]).rpartition("-")[2]), signal.SIGKILL)
            killed = time.monotonic()
            found["s to another worker"] = round(first(lines, "worker", since)["at"] - killed, 3)
            asked.join()
        return found


def resident(pid: int) -> int:
    """MiB that a process has to itself, and its share of what it has not."""
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("Pss:")) // 1024


def main() -> None:
    """A line of JSON for each engine."""
    engines = sys.argv[1:] or ["thread", "process", *(["ray"] if find_spec("ray") else [])]
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place, "export")
        exported(folder)
        for engine in engines:
            print(json.dumps({"engine": engine, **measured(folder, engine)}), flush=True)


if __name__ == "__main__":
    main()

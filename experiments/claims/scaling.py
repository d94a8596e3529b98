"""What several processes gain: the time of a training step on 1, 2, 4 ranks, beside what a model predicts.

Claim    a step on R ranks takes the gradient of batch / R data and one sum of p numbers, g(batch / R) +
         2 (R - 1) latency + 2 (R - 1) / R 4 p / bandwidth, with g by one process alone, and latency and bandwidth from
         sums of 1 and of a million numbers by two: so ranks pay while g of a part lasts longer than the sum
Command  python -m jensen.experiments.claims.scaling
"""

if __name__ == "__main__":  # before the imports, in which Ctrl-C is then one line too
    from jensen.experiments.reproduce import launch

    launch(__file__)

import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Literal, NamedTuple

import torch
import tyro
from torch import Tensor
from torch.func import grad_and_value

from jensen.core import bounds, keys, trees
from jensen.core.models.latent import vae
from jensen.core.trees import Params
from jensen.estimators.gradients import dreg
from jensen.experiments.claims.checked import check_at_least
from jensen.experiments.run import files
from jensen.experiments.run.command import command
from jensen.experiments.run.compilation import compiled
from jensen.experiments.run.errors import InputError
from jensen.experiments.run.ranks import Ranks, joined

MANY = 10**6  # numbers whose sum tells a link's bandwidth


@dataclass(frozen=True)
class Settings:
    """Time steps of an IWAE of 784-200-200-50 on several ranks of one thread each: a table and JSON lines."""

    out: Path = Path("runs/scaling")
    """Folder of rows.jsonl; what it holds of that is replaced."""
    ranks: tuple[int, ...] = (1, 2, 4)
    """Numbers of processes."""
    batch: int = 256
    """Data of a step, of all ranks together."""
    k: int = 8
    """Samples for each."""
    steps: int = 60
    """That the medians are of."""
    compile: bool = True
    """Compile the gradient."""
    role: Literal["start", "step", "link"] = "start"
    """Start the processes, or be one of them: what it measures."""

    def check(self) -> None:
        """Raises an InputError for what cannot work."""
        check_at_least(self, batch=1, k=1, steps=3)
        if not self.ranks or min(self.ranks) < 1:
            raise InputError(f"expected --ranks of at least 1, got {self.ranks}")


class Link(NamedTuple):
    """Between two processes."""

    latency: float  # ms of a message
    bandwidth: float  # bytes in a ms

    @classmethod
    def of(cls, one: float, many: float) -> "Link":
        """From the ms of sums of 1 and of MANY numbers by two processes, two messages each."""
        return cls(one / 2, 4 * MANY / max(many - one, 1e-9))

    def sum(self, ranks: int, numbers: int) -> float:
        """ms of a sum in a ring."""
        return 2 * (ranks - 1) * self.latency + 2 * (ranks - 1) / ranks * 4 * numbers / self.bandwidth


class Row(NamedTuple):
    """ms: medians of a step and its parts, and what they are predicted to be."""

    ranks: int
    step: float
    step_predicted: float
    gradient: float  # of batch / ranks data, by one process alone
    sum: float  # of all gradients and the loss, by so many processes
    sum_predicted: float


def main(argv: list[str] | None = None) -> None:
    """The command line."""
    with command("run it again", "--batch or --k"):
        settings = tyro.cli(Settings, args=argv, prog="python -m jensen.experiments.claims.scaling")
        settings.check()
        if settings.role != "start":
            found = of_step(settings) if settings.role == "step" else of_link(settings)
            if os.environ["RANK"] == "0":
                print(json.dumps(found))
            return
        rows, numbers = run(settings)
        print(f"{table(rows)}\n\na sum is of {numbers:,} numbers; rows in {settings.out}")


def run(settings: Settings) -> tuple[list[Row], int]:
    """Starts the processes, and leaves rows in the folder; these, and how many numbers a sum is of."""
    files.make(settings.out)
    rows, numbers, cores = [], 0, len(os.sched_getaffinity(0))
    link = Link.of(**launched(settings, 2, "link"))
    for size in settings.ranks:
        found = launched(settings, size, "step")
        alone = found if size == 1 else launched(replace(settings, batch=-(-settings.batch // size)), 1, "step")
        numbers = int(found["numbers"])
        step, added = predicted(size, cores, alone["step"], link.sum(size, numbers))
        rows.append(Row(size, found["step"], step, alone["gradient"], found["sum"], added))
    files.write_rows(settings.out / "rows.jsonl", [row._asdict() for row in rows])
    return rows, numbers


def predicted(ranks: int, cores: int, alone: float, added: float) -> tuple[float, float]:
    """ms of a step and of its sum, from those of one process with its part and of a ring: cores take turns."""
    crowd = max(1.0, ranks / cores)
    return crowd * (alone + added), crowd * added


def launched(settings: Settings, size: int, role: str) -> dict[str, float]:
    """What the first of so many processes measured."""
    options = ["--batch", str(settings.batch), "--k", str(settings.k), "--steps", str(settings.steps), "--role", role]
    options += [] if settings.compile else ["--no-compile"]
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(size)]
    ended = subprocess.run(
        [*torchrun, "-m", "jensen.experiments.claims.scaling", *options],
        stdout=subprocess.PIPE, text=True, env={**os.environ, "OMP_NUM_THREADS": "1"},
    )  # fmt: skip
    if ended.returncode:
        raise InputError(f"{size} processes ended with code {ended.returncode}: see what they wrote above")
    return json.loads(next(line for line in ended.stdout.splitlines() if line.startswith("{")))


def of_link(settings: Settings) -> dict[str, float]:
    """Medians, in ms, of sums of one number and of many."""
    with joined("cpu") as ranks:
        one, many = (torch.zeros(n) for n in (1, MANY))
        return {"one": median(lambda: ranks.sum(one), settings.steps, ranks),
                "many": median(lambda: ranks.sum(many), settings.steps, ranks)}  # fmt: skip


def of_step(settings: Settings) -> dict[str, float]:
    """Medians over steps, in ms, of this process among its ranks."""
    with joined("cpu") as ranks:
        model = vae.mlp(784, hidden=(200, 200), latent=50)
        x = (keys.uniform(keys.key(7), (settings.batch, 784)) < 0.3).float()
        params = model.init(keys.key(1), x)
        start, stop = ranks.part(len(x))
        own, key, n = x[start:stop], keys.at(keys.key(3), datum=start), float(len(x))

        def loss(params: Params, x: Tensor, key: Tensor) -> Tensor:
            q = model.posterior(params, x)
            log_p = partial(model.log_joint, params, x)
            return -dreg(log_p, q, q.noise(key, settings.k), bound=bounds.iwae).sum() / n

        gradient = grad_and_value(loss)
        gradient = compiled(gradient) if settings.compile else gradient
        adam = torch.optim.Adam(trees.leaves(params), lr=1e-3, fused=True)
        found = gradient(params, own, key)
        ranks.meet()  # they have compiled

        def step() -> None:
            slopes, _ = ranks.sum(gradient(params, own, key))
            trees.set_grads(params, slopes)
            adam.step()

        return {
            "step": median(step, settings.steps, ranks),
            "gradient": median(lambda: gradient(params, own, key), settings.steps, ranks),
            "sum": median(lambda: ranks.sum(found), settings.steps, ranks),
            "numbers": sum(t.numel() for t in trees.leaves(found)),
        }


def median(call: Callable[[], object], times: int, ranks: Ranks) -> float:
    """In ms, after three calls to warm up; every rank begins each call with the others."""
    seconds = []
    for i in range(times + 3):
        ranks.sum(torch.zeros(1))
        began = time.perf_counter()
        call()
        if i >= 3:
            seconds.append(time.perf_counter() - began)
    return 1e3 * statistics.median(seconds)


def table(rows: list[Row]) -> str:
    """One line for each number of processes."""
    lines = [f"{'ranks, ms':<11}{'step':>9}{'predicted':>12}{'gain':>8}{'gradient':>11}{'sum':>8}{'predicted':>12}"]
    for row in rows:
        gain = rows[0].step / row.step
        lines.append(f"{row.ranks:<11}{row.step:>9.2f}{row.step_predicted:>12.2f}{gain:>7.2f}×{row.gradient:>11.2f}"
                     f"{row.sum:>8.2f}{row.sum_predicted:>12.2f}")  # fmt: skip
    return "\n".join(lines)


if __name__ == "__main__":
    main()

"""Peaks of memory, each measured in a process of its own, as a multiple of the case's baseline."""

import ctypes
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import NamedTuple

import torch

from jensen.core import keys, ops
from jensen.core.models.latent import vae
from jensen.core.ops import linear_log_prob
from jensen.estimators.evidence import importance
from tests.bench.race import Row

PIXELS, HIDDEN = 784, 200


class Peaks(NamedTuple):
    """A group of cases, the last its baseline."""

    group: str
    cases: dict[str, str]


PEAKS = (
    Peaks(
        "peak of linear_bernoulli_log_prob, forward and backward, 64,000 x 784 (the gradient of h alone is 49 MiB)",
        {"linear_bernoulli_log_prob": "fused", "logits stored": "stored"},
    ),
    Peaks("peak of evidence, 64 images, 50 particles at once", {"K = 5,000": "5000", "K = 50, one chunk": "50"}),
)


def measure(case: str) -> float:
    """MiB that a case adds to what is resident, in a new process."""
    command = [sys.executable, "-m", "tests.bench.memory", case]
    return float(subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()[-1])


def rows(peaks: Peaks) -> list[Row]:
    """One row per case, with its ratio to the baseline."""
    found = {name: measure(case) for name, case in peaks.cases.items()}
    baseline = list(found.values())[-1]
    fixed = {"group": peaks.group, "unit": "MiB", "iqr": 0.0, "rounds": 1, "ratio_iqr": 0.0}
    return [{**fixed, "name": name, "median": peak, "ratio": peak / baseline} for name, peak in found.items()]


def peak(work: Callable[[], object]) -> float:
    """MiB that work adds to what is resident, by the kernel's high-water mark."""
    ctypes.CDLL("libc.so.6").malloc_trim(0)
    Path("/proc/self/clear_refs").write_text("5")
    before = status("VmRSS:")
    work()
    return (status("VmHWM:") - before) / 1024


def status(name: str) -> int:
    return int(Path("/proc/self/status").read_text().split(name)[1].split()[0])


def likelihood(f: Callable[..., torch.Tensor]) -> float:
    """Of value and gradient for 1,000 samples of 64 data."""
    x = (keys.uniform(keys.key(2), (64, PIXELS)) < 0.3).float()
    h = keys.normal(keys.key(0), (1000, 64, HIDDEN)).requires_grad_()
    weight = (0.1 * keys.normal(keys.key(1), (PIXELS, HIDDEN))).requires_grad_()
    bias = torch.zeros(PIXELS, requires_grad=True)
    f(x, h[:1], weight, bias).sum().backward()
    h.grad = None
    return peak(lambda: f(x, h, weight, bias).sum().backward())


def evidence(k: int) -> float:
    """Of k particles for each of 64 images, 50 at once."""
    x = (keys.uniform(keys.key(2), (64, PIXELS)) < 0.3).float()
    model = vae.mlp(PIXELS, (HIDDEN, HIDDEN), 50)
    params = model.init(keys.key(0), x)
    q, log_p = model.posterior(params, x), partial(model.log_joint, params, x)
    importance(log_p, q, keys.key(1), 2, chunk=2)
    return peak(lambda: importance(log_p, q, keys.key(1), k, chunk=50))


if __name__ == "__main__":
    case = sys.argv[1]
    functions = {"fused": ops.linear_bernoulli_log_prob, "stored": linear_log_prob._bernoulli.reference}
    print(likelihood(functions[case]) if case in functions else evidence(int(case)))

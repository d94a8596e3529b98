"""The kernels on a GPU beside their compiled references: time, memory, and bandwidth beside that of a copy.

A kernel that beats the compiled reference neither in time nor in memory is to be switched off.
"""

import importlib
import math
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import NamedTuple
from unittest import mock

import torch
from torch import Tensor
from torch.func import grad

from jensen.core import keys, ops
from tests.bench.race import Call, Race, Row, measure, synchronise

KERNEL, PLAIN = "kernel", "compiled reference"
PIECES = {"_importance": "CHUNK", "linear_log_prob": "INLINE"}


class Sizes(NamedTuple):
    """Of the full table, and in `SMALL` of one that shows that everything runs."""

    d: int = 64
    s: int = 64
    n: int = 4096
    pixels: int = 784
    hidden: int = 200
    codes: int = 8192
    vectors: int = 1_000_000
    particles: int = 20_000


SMALL = Sizes(s=2, n=16, pixels=20, hidden=16, codes=40, vectors=50, particles=40)


class Operation(NamedTuple):
    """A call, and the bytes that it must read and write; 0 where arithmetic decides.

    plain: the same in plain torch, where `plain()` leaves an operation in the call that a compiler cannot see into.
    """

    name: str
    call: Callable[[], object]
    moved: int = 0
    plain: Callable[[], object] | None = None

    def baseline(self) -> Callable[[], object]:
        return self.plain or self.call


def noise(seed: int, *shape: int, device: str) -> Tensor:
    return torch.randn(shape, generator=torch.Generator(device).manual_seed(seed), device=device)


def operations(device: str, sizes: Sizes) -> Iterator[Operation]:
    """Each operation of `core.ops`; the gradients of those whose backward has a kernel."""
    s, n, d, pixels = sizes.s, sizes.n, sizes.d, sizes.pixels
    z, loc, log_scale = (noise(i, *shape, device=device) for i, shape in enumerate([(s, n, d), (n, d), (n, d)]))
    x, logits = (noise(3, n, pixels, device=device) > 0).float(), noise(4, s, n, pixels, device=device)
    key, weights = keys.key(0, device), noise(5, s, n, device=device)
    yield Operation("normal_log_prob", lambda: ops.normal_log_prob(z, loc, log_scale), z.nbytes)
    slopes = grad(lambda z, loc, log_scale: ops.normal_log_prob(z, loc, log_scale).sum(), (0, 1, 2))
    yield Operation("normal_log_prob, gradient", lambda: slopes(z, loc, log_scale), 2 * z.nbytes)
    yield Operation("normal_kl", lambda: ops.normal_kl(loc, log_scale, log_scale, loc), 4 * loc.nbytes)
    yield Operation("normal_sample", lambda: ops.normal_sample(key, loc, log_scale, s), z.nbytes)
    yield Operation("bernoulli_log_prob", lambda: ops.bernoulli_log_prob(x, logits), logits.nbytes + x.nbytes)
    slope = grad(lambda a: ops.bernoulli_log_prob(x, a).sum())
    yield Operation("bernoulli_log_prob, gradient", lambda: slope(logits), 2 * logits.nbytes + x.nbytes)
    yield Operation("categorical_log_prob", lambda: ops.categorical_log_prob(x, logits), logits.nbytes + x.nbytes)
    index = logits[0].argmax(-1)
    moved = logits.nbytes + index.nbytes
    yield Operation("categorical_log_prob of indices", lambda: ops.categorical_log_prob(index, logits), moved)
    yield Operation("importance", lambda: ops.importance(weights, weights), 3 * weights.nbytes)
    h, bias = noise(6, s, n, sizes.hidden, device=device), noise(8, pixels, device=device)
    weight = noise(7, pixels, sizes.hidden, device=device) / 10
    linear = grad(lambda h, w, b: ops.linear_bernoulli_log_prob(x, h, w, b).sum(), (0, 1, 2))
    yield Operation("linear_bernoulli_log_prob, gradient", lambda: linear(h, weight, bias))
    vectors, codes = noise(9, sizes.vectors, 64, device=device), noise(10, sizes.codes, 64, device=device)
    yield Operation("nearest_code", lambda: ops.nearest_code(vectors, codes), plain=lambda: nearest(vectors, codes))
    particles, scores = (noise(i, sizes.particles, d, device=device) for i in (11, 12))
    bandwidth = torch.tensor(2.0, device=device)
    yield Operation(
        "stein_direction",
        lambda: ops.stein_direction(particles, scores, bandwidth),
        plain=lambda: plainly("_stein_direction")(particles, scores, bandwidth, False),
    )


def nearest(vectors: Tensor, codes: Tensor) -> tuple[Tensor, Tensor]:
    index = plainly("_nearest_code")(vectors, codes)
    return index, (vectors - codes[index]).square().sum(-1)


def plainly(name: str) -> Callable[..., Tensor]:
    """An operation's reference, which stores the matrix that the operation does not."""
    return importlib.import_module(f"jensen.core.ops.{name}").reference


def copied(device: str, sizes: Sizes) -> float:
    """GB/s of a copy from device memory to device memory."""
    a = noise(0, sizes.s, sizes.n, sizes.pixels, device=device)
    b = torch.empty_like(a)
    race = Race("copy", "copy", {"copy": lambda: b.copy_(a)}, rounds=9, calls=5)
    return 2 * a.nbytes / float(measure(race, "copy")["median"]) / 1e6


def rows(operation: Operation, copy: float) -> list[Row]:
    """Milliseconds and MiB beside the compiled reference, which may run out of memory, and GB/s beside a copy's."""
    candidates: dict[str, Call] = {PLAIN: torch.compile(operation.baseline()), KERNEL: operation.call}
    race = Race(operation.name, PLAIN, candidates, 7, 3, within={PLAIN: plain, KERNEL: lambda: ops.use("triton")})
    try:
        peaks = {name: peak(race, name) for name in (PLAIN, KERNEL)}
        times = [measure(race, PLAIN), measure(race, KERNEL)]
    except torch.OutOfMemoryError:
        print(f"{operation.name}: the compiled reference runs out of memory")
        race = Race(operation.name, KERNEL, {KERNEL: operation.call}, 7, 3, within=race.within)
        times, peaks = [measure(race, KERNEL)], {PLAIN: math.inf, KERNEL: peak(race, KERNEL)}
    fixed = {"group": operation.name, "iqr": 0.0, "ratio_iqr": 0.0, "rounds": 1}
    found = times
    if torch.cuda.is_available():
        ratio = peaks[KERNEL] / peaks[PLAIN] if peaks[PLAIN] else 1.0
        found.append({**fixed, "name": "kernel's peak", "unit": "MiB", "median": peaks[KERNEL], "ratio": ratio})
    if operation.moved:
        rate = operation.moved / float(times[-1]["median"]) / 1e6
        found.append({**fixed, "name": "kernel's rate", "unit": "GB/s", "median": rate, "ratio": rate / copy})
    return found


def peak(race: Race, name: str) -> float:
    """MiB that a call allocates, at most; its first call, which may compile, is not counted."""
    race.seconds(name)
    if not torch.cuda.is_available():
        return 0.0
    torch.cuda.reset_peak_memory_stats()
    before = torch.cuda.memory_allocated()
    with race.within[name]():
        race.candidates[name]()
        synchronise()
    return (torch.cuda.max_memory_allocated() - before) / 2**20


@contextmanager
def plain() -> Iterator[None]:
    """Inside, operations run plain torch in one piece, as a user would write them."""
    with ops.use("reference"), ExitStack() as stack:
        for name, constant in PIECES.items():
            module = importlib.import_module(f"jensen.core.ops.{name}")
            stack.enter_context(mock.patch.object(module, constant, 2**62))
        yield

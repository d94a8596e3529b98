"""The kernels on a GPU beside their compiled references: time, memory, and rates beside those of a copy and a product.

A kernel that beats the compiled reference neither in time nor in memory is to be switched off.
"""

import importlib
import math
import statistics
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import NamedTuple
from unittest import mock

import torch

from jensen.core import ops
from tests.bench.operations import SMALL, Operation, Sizes, noise, operations
from tests.bench.race import Row, synchronise

PLAIN, KERNEL, EAGER = "compiled reference", "kernel", "the operation, eager"
PIECES = {"_importance": ("CHUNK", "GPU_CHUNK"), "linear_log_prob": ("INLINE", "GPU_INLINE")}

__all__ = ["SMALL", "Ceilings", "Sizes", "operations", "plain", "rows"]


class Ceilings(NamedTuple):
    """GB/s of a copy from device memory to device memory, and TFLOP/s of a product of large float32 matrices."""

    copy: float
    product: float

    @classmethod
    def measured(cls, device: str, sizes: Sizes) -> "Ceilings":
        a = noise(0, sizes.s, sizes.images, sizes.pixels, device=device)
        b = torch.empty_like(a)
        copy = 2 * a.nbytes / milliseconds(lambda: b.copy_(a)) / 1e6
        side = sizes.codes
        left, right, out = (
            noise(1, side, side, device=device),
            noise(2, side, side, device=device),
            a.new_empty(side, side),
        )
        return cls(copy, 2 * side**3 / milliseconds(lambda: torch.mm(left, right, out=out)) / 1e9)


def rows(operation: Operation, ceilings: Ceilings) -> list[Row]:
    """The kernel beside the compiled reference, which may run out of memory, and the operation as it is called eagerly.

    The first two are times on the device; the third has what it takes to get there.
    """
    reference, call = torch.compile(operation.baseline()), operation.launch or operation.call
    try:
        with plain():
            taken, stored = milliseconds(reference), peak(reference)
    except torch.OutOfMemoryError:
        taken, stored = math.nan, math.inf
    with ops.use("triton"):
        own, eager, used = milliseconds(call), waited(operation.call), peak(operation.call)
    found = [
        row(operation, PLAIN, "ms", taken, 1.0),
        row(operation, KERNEL, "ms", own, own / taken),
        row(operation, EAGER, "ms", eager, eager / taken),
        row(operation, "its peak", "MiB", used, used / stored if stored else 1.0),
        row(operation, "compiled reference's peak", "MiB", stored, 1.0),
    ]
    if operation.products:
        bare = milliseconds(operation.products)
        found.append(row(operation, "the matrix products alone", "ms", bare, bare / own))
    if operation.moved:
        bare = copying(operation.moved)
        found.append(row(operation, "a copy of as many bytes", "ms", bare, bare / own))
        rate = operation.moved / own / 1e6
        found.append(row(operation, "kernel's rate, of a copy's", "GB/s", rate, rate / ceilings.copy))
    if operation.flops:
        rate = operation.flops / own / 1e9
        found.append(row(operation, "kernel's rate, of a product's", "TFLOP/s", rate, rate / ceilings.product))
    return found


def copying(moved: int) -> float:
    """Milliseconds of a copy that reads and writes this many bytes together: a launch's own time counts when few."""
    a = torch.empty(moved // 8, device="cuda" if torch.cuda.is_available() else "cpu")
    b = torch.empty_like(a)
    return milliseconds(lambda: b.copy_(a))


def row(operation: Operation, name: str, unit: str, value: float, ratio: float) -> Row:
    fixed = {"group": operation.name, "iqr": 0.0, "ratio_iqr": 0.0, "rounds": 1}
    return {**fixed, "name": name, "unit": unit, "median": value, "ratio": ratio}


def milliseconds(call: Callable[[], object]) -> float:
    """On the device, between events, with its cache emptied before every call; the median.

    Of a captured graph, which has no launches by the host, where the call can be captured.
    """
    if not torch.cuda.is_available():
        return waited(call)
    from triton.testing import do_bench

    return do_bench(captured(call), warmup=10, rep=60, return_mode="median")


def captured(call: Callable[[], object]) -> Callable[[], object]:
    """The replay of its graph, or the call."""
    stream, graph = torch.cuda.Stream(), torch.cuda.CUDAGraph()
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):
        call()  # what is compiled or chosen at the first call
    torch.cuda.current_stream().wait_stream(stream)
    try:
        with torch.cuda.graph(graph):
            call()
    except RuntimeError:
        synchronise()
        return call
    return graph.replay


def waited(call: Callable[[], object], calls: int = 5, rounds: int = 5) -> float:
    """Milliseconds of a call on the host's clock, of several calls in a row that are waited for together."""
    if not torch.cuda.is_available():
        calls = rounds = 1
    call()
    times = []
    for _ in range(rounds):
        synchronise()
        start = time.perf_counter()
        for _ in range(calls):
            call()
        synchronise()
        times.append((time.perf_counter() - start) / calls * 1e3)
    return statistics.median(times)


def peak(call: Callable[[], object]) -> float:
    """MiB that a call allocates, at most."""
    if not torch.cuda.is_available():
        return 0.0
    torch.cuda.empty_cache()
    torch.cuda.reset_peak_memory_stats()
    before = torch.cuda.memory_allocated()
    call()
    synchronise()
    return (torch.cuda.max_memory_allocated() - before) / 2**20


@contextmanager
def plain() -> Iterator[None]:
    """Inside, operations run plain torch in one piece, as a user would write them."""
    with ops.use("reference"), ExitStack() as stack:
        for name, constants in PIECES.items():
            module = importlib.import_module(f"jensen.core.ops.{name}")
            for constant in constants:
                stack.enter_context(mock.patch.object(module, constant, 2**62))
        yield

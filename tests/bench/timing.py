"""Timing: rounds that interleave what is compared, medians, and a table."""

import os
import platform
import statistics
import time
from collections.abc import Callable

import torch


def medians(candidates: dict[str, Callable[[], object]], rounds: int = 15, calls: int = 20) -> dict[str, float]:
    """Milliseconds per call, the median over rounds; in each round every candidate runs `calls` times in turn."""
    times: dict[str, list[float]] = {name: [] for name in candidates}
    for _ in range(3):
        for call in candidates.values():
            call()
    for _ in range(rounds):
        for name, call in candidates.items():
            synchronise()
            start = time.perf_counter()
            for _ in range(calls):
                call()
            synchronise()
            times[name].append((time.perf_counter() - start) / calls * 1e3)
    return {name: statistics.median(each) for name, each in times.items()}


def synchronise() -> None:
    if torch.cuda.is_available():
        torch.cuda.synchronize()


def table(title: str, rows: dict[str, float], baseline: str) -> None:
    """Prints milliseconds, and the ratio to the baseline's."""
    print(f"\n{title}")
    for name, value in rows.items():
        print(f"  {name:<44}{value:9.3f} ms{value / rows[baseline]:8.2f} x")


def machine(device: str) -> str:
    """The device, the versions and the load, for the head of a table."""
    what = (
        torch.cuda.get_device_name() if device == "cuda" else f"{platform.machine()}, {torch.get_num_threads()} threads"
    )
    return f"{what}; torch {torch.__version__}, Python {platform.python_version()}; load {os.getloadavg()[0]:.1f}"

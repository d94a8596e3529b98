"""`make bench`: each candidate of each race in rounds that alternate with its baseline's, and peaks of memory."""

from collections.abc import Iterator

import pytest
import torch

from tests.bench import memory
from tests.bench.memory import PEAKS, Peaks
from tests.bench.race import Race, Times
from tests.bench.races import RACES


def candidates() -> Iterator[object]:
    for build in RACES:
        race = build("cpu")
        for name in race.candidates:
            yield pytest.param(race, name, id=f"{race.group}: {name}")


@pytest.fixture(scope="module")
def compiled_for() -> list[Race]:
    """The race whose functions are compiled now."""
    return []


@pytest.mark.parametrize(("race", "name"), list(candidates()))
def test_time(race: Race, name: str, compiled_for: list[Race], benchmark):
    if compiled_for != [race]:
        torch.compiler.reset()  # the compiler allows one function, a gradient's wrapper, few closures
        compiled_for[:] = [race]
    times, benchmark.group = Times(race, name), race.group
    benchmark.pedantic(times.run, setup=times.before, rounds=race.rounds, warmup_rounds=race.warm)
    if benchmark.enabled:
        benchmark.extra_info["rows"] = [times.row()]


@pytest.mark.parametrize("peaks", PEAKS, ids=lambda peaks: peaks.group)
def test_memory(peaks: Peaks, benchmark):
    benchmark.group = peaks.group
    benchmark.extra_info["rows"] = benchmark.pedantic(memory.rows, (peaks,))

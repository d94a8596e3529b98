"""A race: calls that do the same work, timed in turn with their baseline, so that both meet the machine in one state.

What is judged is a ratio: the median over rounds of a candidate's time divided by the baseline's in the same round.
"""

import math
import statistics
import time
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from typing import cast

import torch

Call = Callable[[], object]
Row = dict[str, str | int | float]


@dataclass(frozen=True)
class Race:
    """Candidates by name, one of them the baseline; a round is `calls` calls of the baseline, then of a candidate.

    `within` has what is entered around a candidate's calls, outside the clock. With `own_time` a call gives the seconds
    that count.
    """

    group: str
    baseline: str
    candidates: Mapping[str, Call]
    rounds: int = 15
    calls: int = 20
    warm: int = 3  # rounds that are not counted
    within: Mapping[str, Callable[[], AbstractContextManager]] = field(default_factory=dict)
    own_time: bool = False

    def seconds(self, name: str) -> float:
        """Per call, of one candidate's part of a round; what runs on a GPU is waited for."""
        call = self.candidates[name]
        if self.own_time:
            return cast(float, call())
        with self.within.get(name, nullcontext)():
            synchronise()
            start = time.perf_counter()
            for _ in range(self.calls):
                call()
            synchronise()
            return (time.perf_counter() - start) / self.calls


@dataclass(frozen=True)
class Spread:
    """Median and interquartile range."""

    median: float
    iqr: float

    @classmethod
    def of(cls, values: list[float]) -> "Spread":
        if len(values) < 2:
            return cls(statistics.median(values), math.nan)
        low, _, high = statistics.quantiles(values, method="inclusive")
        return cls(statistics.median(values), high - low)


class Times:
    """The seconds of one candidate's rounds beside those of its baseline, both per call."""

    def __init__(self, race: Race, name: str):
        self.race, self.name = race, name
        self.own: list[float] = []
        self.baseline: list[float] = []

    def before(self) -> None:
        """The baseline's part of a round; a baseline has no part before its own."""
        if self.name != self.race.baseline:
            self.baseline.append(self.race.seconds(self.race.baseline))

    def run(self) -> None:
        """The candidate's part."""
        self.own.append(self.race.seconds(self.name))

    def row(self) -> Row:
        """What a row says: milliseconds per call, and the ratio to the baseline; without the rounds of warming up."""
        own, baseline = self.own[self.race.warm :], self.baseline[self.race.warm :]
        time = Spread.of([1e3 * t for t in own])
        ratio = Spread.of([a / b for a, b in zip(own, baseline, strict=True)]) if baseline else Spread(1.0, 0.0)
        return {
            "group": self.race.group, "name": self.name, "unit": "ms", "median": time.median, "iqr": time.iqr,
            "rounds": len(own), "ratio": ratio.median, "ratio_iqr": ratio.iqr,
        }  # fmt: skip


def measure(race: Race, name: str) -> Row:
    """One candidate's row, without pytest."""
    times = Times(race, name)
    for _ in range(race.warm + race.rounds):
        times.before()
        times.run()
    return times.row()


def synchronise() -> None:
    if torch.cuda.is_available():
        torch.cuda.synchronize()

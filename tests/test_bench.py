"""What `make bench` prints is what it measures: ratios on a planted clock, comparisons of planted rows."""

import csv

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from tests.bench import compare, gpu, kernels, race, record
from tests.bench.race import Race
from tests.bench.races import RACES

MACHINE = dict.fromkeys(record.MACHINE, "a")


class Clock:
    """A clock that calls move on; the machine becomes slower by a tenth with every call."""

    def __init__(self) -> None:
        self.now, self.pace = 0.0, 1.0

    def __call__(self) -> float:
        return self.now

    def work(self, seconds: float) -> None:
        self.now += seconds * self.pace
        self.pace *= 1.1


def test_ratios_are_of_rounds_side_by_side(monkeypatch):
    clock = Clock()
    monkeypatch.setattr(race.time, "perf_counter", clock)
    candidates = {"plain": lambda: clock.work(1.0), "ours": lambda: clock.work(2.0)}
    row = race.measure(Race("group", "plain", candidates, rounds=5, calls=1), "ours")
    assert row["ratio"] == pytest.approx(2.2)  # of medians of rounds far apart it would be anything
    assert row["rounds"] == 5
    assert row["ratio_iqr"] == pytest.approx(0.0, abs=1e-9)
    assert race.measure(Race("group", "plain", candidates, rounds=5, calls=1), "plain")["ratio"] == 1


def rows(commit, **found):
    fixed = {"group": "g", "unit": "ms", "iqr": 0.1, "rounds": 15, "ratio_iqr": 0.02, "commit": commit, **MACHINE}
    return [{**fixed, "name": name, "median": 10 * ratio, "ratio": ratio} for name, ratio in found.items()]


def written(path, *runs):
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, record.COLUMNS)
        writer.writeheader()
        writer.writerows(row for run in runs for row in run)
    return path


def test_compare_names_what_got_slower_and_nothing_else(tmp_path):
    old, new = rows("old", base=1.0, slow=2.0, same=3.0, fast=4.0), rows("new", base=1.0, slow=2.4, same=3.05, fast=2.0)
    elsewhere = [{**row, "threads": "b", "ratio": 9.0} for row in rows("other", slow=9.0)]
    lines = compare.report(written(tmp_path / "r.csv", old, elsewhere, new)).split("\n")
    assert lines[0] == "new beside old"
    assert [line.split()[:3] for line in lines[1:]] == [["slower", "by", "20.0%"], ["faster", "by", "50.0%"]]


def test_compare_counts_no_noise(tmp_path):
    loud = [{**row, "ratio_iqr": 1.0} for row in rows("new", slow=2.4)]  # 3 x 0.93 / sqrt(15) / 2.4 = 30 %
    assert "nothing got slower" in compare.report(written(tmp_path / "r.csv", rows("old", slow=2.0), loud))


def test_compare_needs_two_commits(tmp_path):
    assert "one commit is recorded" in compare.report(written(tmp_path / "r.csv", rows("old", slow=2.0)))


def test_rows_of_a_gpu_are_kept_as_they_are_found(tmp_path, monkeypatch, capsys):
    """One that fails takes no other with it, and the commit is told where there is no repository."""

    def fail():
        raise RuntimeError("out of luck")

    found = rows("", good=1.0)
    work = [("first", lambda: found), ("second", fail), ("third", lambda: found), ("elsewhere", fail)]
    monkeypatch.setattr(gpu, "benches", lambda device, small: work)
    monkeypatch.setenv("PATH", "")  # no git
    monkeypatch.setattr(
        "sys.argv", ["gpu", "--results", str(tmp_path / "r.csv"), "--commit", "abc", "--only", "ir|nd$"]
    )
    gpu.main()
    with (tmp_path / "r.csv").open(newline="") as file:
        assert [(row["name"], row["commit"]) for row in csv.DictReader(file)] == [("good", "abc")] * 2
    assert "second: RuntimeError: out of luck" in capsys.readouterr().out


class Namespaces(TorchDispatchMode):
    """Of the operations that run inside."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: set[str] = set()

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        self.seen.add(func.namespace)
        return func(*args, **(kwargs or {}))


@pytest.mark.parametrize("operation", [*kernels.operations("cpu", kernels.SMALL)], ids=lambda operation: operation.name)
def test_a_kernel_races_plain_torch_that_a_compiler_sees_into(operation):
    """And not the operation, which runs as one in compiled code too; both say the same."""
    with kernels.plain(), Namespaces() as mode:
        plain = operation.baseline()()
    assert mode.seen <= {"aten", "prims"}
    torch.testing.assert_close(operation.call(), plain, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("build", RACES, ids=lambda build: f"{build.__module__}.{build.__name__}")
def test_every_race_has_its_baseline_and_what_is_not_compiled_runs(build):
    each = build("cpu")
    assert each.baseline in each.candidates
    for name, call in each.candidates.items():
        if name.endswith(("eager", "alone", "float64")):
            call()

"""python -m tests.bench.compare: what got slower between the last two commits recorded on like machines.

A candidate is judged by its ratio to the baseline of its race, which a busy machine changes little; a baseline, and a
peak of memory, by its median. A difference counts from 5 %, and from 3 standard errors of the two medians: that of n
rounds with interquartile range r is 0.93 r / sqrt(n), as for a normal.
"""

import csv
import math
from pathlib import Path

from tests.bench.record import MACHINE, RESULTS

LEAST = 0.05

Row = dict[str, str]


def main() -> None:
    print(report(RESULTS) if RESULTS.exists() else "nothing is recorded yet: run `make bench` at two commits")


def report(results: Path) -> str:
    """What got slower, and what faster, in words."""
    with results.open(newline="") as file:
        rows = list(csv.DictReader(file))
    like = [row for row in rows if all(row[name] == rows[-1][name] for name in MACHINE)]
    commits = list(dict.fromkeys(row["commit"] for row in reversed(like)))[:2]
    if len(commits) < 2:
        return "one commit is recorded for this machine and these versions: run `make bench` at another one"
    new, old = (last_of(like, commit) for commit in commits)
    lines = [f"{commits[0]} beside {commits[1]}"]
    for key in [key for key in new if key in old]:
        change, noise = difference(old[key], new[key])
        if abs(change) > max(LEAST, noise):
            word = "slower" if change > 0 else "faster"
            what = f"{old[key]['median']} -> {new[key]['median']} {new[key]['unit']}"
            what += f", ratio {old[key]['ratio']} -> {new[key]['ratio']}"
            lines.append(f"  {word} by {abs(change):5.1%} (noise {noise:.1%})  {key[0]}: {key[1]}, {what}")
    if len(lines) == 1:
        lines.append(f"  nothing got slower or faster beyond the noise, of {len(new)} rows")
    return "\n".join(lines)


def last_of(rows: list[Row], commit: str) -> dict[tuple[str, str], Row]:
    """A commit's rows by group and name; of several runs the last."""
    return {(row["group"], row["name"]): row for row in rows if row["commit"] == commit}


def difference(old: Row, new: Row) -> tuple[float, float]:
    """The relative change, positive where new is slower or larger, and three standard errors of it."""
    what, spread = ("median", "iqr") if float(old["ratio"]) == 1 == float(new["ratio"]) else ("ratio", "ratio_iqr")
    sign = -1 if new["unit"] == "GB/s" else 1
    change = sign * (float(new[what]) / float(old[what]) - 1)
    return change, 3 * math.hypot(*(error(row, what, spread) for row in (old, new)))


def error(row: Row, what: str, spread: str) -> float:
    """The relative standard error of a median; 0 for a single round."""
    width = float(row[spread])
    return 0.93 * width / math.sqrt(float(row["rounds"])) / float(row[what]) if math.isfinite(width) else 0.0


if __name__ == "__main__":
    main()

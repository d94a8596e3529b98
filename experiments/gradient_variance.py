"""Measure every gradient estimator on one set of problems: bias, variance, signal to noise and time.

Claim    no estimator is best everywhere: paths beat scores where there are paths, DReG keeps its signal as samples are
         added and STL is exact at the posterior; for discrete q, DisARM, leave-one-out and REBAR beat REINFORCE by
         orders of magnitude, at very different prices
Command  python -m jensen.experiments.gradient_variance
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import matplotlib as mpl
import tyro
from matplotlib.figure import Figure
from torch.func import vmap

from jensen.core import keys
from jensen.estimators.diagnostics import quality
from jensen.experiments import figures, runs
from jensen.experiments.command import command
from jensen.experiments.gradient_problems import LEAST_TWO, NO_SAMPLES, Problem, all_problems
from jensen.experiments.settings import InputError

mpl.use("Agg")
from matplotlib import pyplot as plt

Row = dict[str, Any]
ROUNDING = 1e-20  # a variance below is that of rounding


@dataclass(frozen=True)
class Settings:
    """Compare estimators of gradients: a table on the screen, figures and JSON lines in a folder."""

    out: Path = Path("runs/gradient-variance")
    """Folder of rows.jsonl and the figures; what it holds of these is replaced."""
    samples: tuple[int, ...] = (1, 2, 5, 10, 50, 200)
    """Samples per gradient, K."""
    reps: int = 4000
    """Independent gradients per estimator and K; fewer where K is large: see `budget`."""
    budget: int = 60_000
    """Most samples in all per estimator and K, but for 50 gradients at least."""
    table: int = 10
    """The K of the printed table."""

    def check(self) -> None:
        """Raises an InputError for what cannot work."""
        if not self.samples or min(self.samples) < 1:
            raise InputError(f"--samples {self.samples}: expected counts of at least 1")
        if self.reps < 50:
            raise InputError(f"--reps {self.reps}: expected at least 50, a variance of fewer says nothing")
        if self.budget < 1:
            raise InputError(f"expected --budget of at least 1, got {self.budget}")
        if self.table not in self.samples:
            raise InputError(f"--table {self.table} is not among --samples {self.samples}: add it there")


def main() -> None:
    """The command line."""
    with command("run it again", "--samples or --reps"):
        settings = tyro.cli(Settings, prog="python -m jensen.experiments.gradient_variance")
        settings.check()
        print(table(run(settings), settings.table))
        print(f"rows and figures in {settings.out}")


def run(settings: Settings) -> list[Row]:
    """Measures, and leaves rows and figures in the folder."""
    runs.make(settings.out)
    rows = [row for problem in all_problems() for row in measure(problem, settings)]
    for name, figure in draw(rows).items():
        figures.save(figure, settings.out / f"{name}.png")
    runs.write_rows(settings.out / "rows.jsonl", rows)
    return rows


def measure(problem: Problem, settings: Settings) -> list[Row]:
    """One row per estimator, K and group of parameters."""
    rows = []
    for name, estimate in problem.estimators.items():
        for k in settings.samples:
            if (k == 1 and name in LEAST_TWO) or (k > settings.samples[0] and name in NO_SAMPLES):
                continue
            gradient = partial(problem.gradient, estimate, k)
            reps = min(settings.reps, problem.reps, max(50, settings.budget // k))
            each = keys.split(keys.key(k), reps)
            exact = None if "IWAE" in name or name == "wake" else problem.exact
            quality(gradient, each[:2], exact)
            start = time.perf_counter()
            vmap(gradient, chunk_size=min(reps, max(10, 5000 // k)))(each)
            seconds = (time.perf_counter() - start) / reps
            found = quality(gradient, each, exact, chunk=max(10, 5000 // k))
            for group, parts in found.items():
                numbers = {field: float(value) for field, value in parts._asdict().items()}
                numbers = {field: None if value != value else value for field, value in numbers.items()}
                rows.append(
                    {"problem": problem.name, "estimator": name, "k": k, "group": group, "reps": reps}
                    | numbers
                    | {"seconds": seconds}
                )
    return rows


def table(rows: Sequence[Row], k: int) -> str:
    """phi's gradient at k samples (enumeration takes none): variance, signal to noise, bias over its error, time."""
    lines = []
    problem = None
    for row in rows:
        if row["group"] != "phi" or (row["k"] != k and row["estimator"] not in NO_SAMPLES):
            continue
        if row["problem"] != problem:
            problem = row["problem"]
            lines += ["", f"{f'{problem}, K = {k}':<34}{'variance':>11}{'SNR':>9}{'bias/error':>12}{'µs':>9}"]
        noisy = row["variance"] > ROUNDING
        numbers = (f"{row['variance']:.1e}", f"{row['snr']:.2f}") if noisy else ("0", "")
        errors = f"{row['errors']:.1f}" if noisy and row["errors"] is not None else ""
        lines.append(f"  {row['estimator']:<32}{numbers[0]:>11}{numbers[1]:>9}{errors:>12}{row['seconds'] * 1e6:>9.0f}")
    return "\n".join(lines)


def draw(rows: Sequence[Row]) -> dict[str, Figure]:
    """Per problem: variance and signal to noise against K, and variance against time, of phi's gradient."""
    drawn = {}
    for i, problem in enumerate(dict.fromkeys(row["problem"] for row in rows)):
        here = [row for row in rows if row["problem"] == problem and row["group"] == "phi"]
        figure, axes = plt.subplots(1, 3, figsize=(15, 4.2), layout="constrained")
        for j, name in enumerate(dict.fromkeys(row["estimator"] for row in here)):
            series = [row for row in here if row["estimator"] == name and row["variance"] > ROUNDING]
            if not series:
                continue
            style = {"color": plt.get_cmap("tab20")(j % 20), "marker": "os^Dv"[j % 5], "markersize": 4, "linewidth": 1}
            k, variance = [row["k"] for row in series], [row["variance"] for row in series]
            axes[0].plot(k, variance, label=name, **style)
            axes[1].plot(k, [row["snr"] for row in series], **style)
            axes[2].plot([row["seconds"] * 1e6 for row in series], variance, **style)
        front(axes[2], here)
        axes[0].set(xlabel="K", ylabel="variance of phi's gradient", title=problem)
        axes[1].set(xlabel="K", ylabel="signal to noise")
        axes[2].set(xlabel="µs per gradient", ylabel="variance", title="grey: the Pareto front of the unbiased")
        for axis in axes:
            axis.set(xscale="log", yscale="log")
        figure.legend(loc="outside right upper", fontsize=8)
        drawn[f"{i + 1}-{''.join(c if c.isalnum() else '-' for c in problem)}"] = figure
    return drawn


def front(axis: Any, rows: Sequence[Row]) -> None:
    """Those that no other estimator of the ELBO beats in both variance and time."""
    of_elbo = [row for row in rows if "IWAE" not in row["estimator"] and row["estimator"] != "wake"]
    fair = [row for row in of_elbo if row["errors"] is None or row["errors"] < 5]
    fair = sorted((row for row in fair if row["variance"] > ROUNDING), key=lambda row: row["seconds"])
    best, points = float("inf"), []
    for row in fair:
        if row["variance"] < best:
            best = row["variance"]
            points.append((row["seconds"] * 1e6, best))
    axis.step(*zip(*points, strict=True), where="post", color="0.6", linewidth=4, zorder=0)


if __name__ == "__main__":
    main()

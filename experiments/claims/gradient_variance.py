"""Measure every gradient estimator on one set of problems: bias, variance, signal to noise and time.

Claim    no estimator is best everywhere: paths beat scores where there are paths, DReG keeps its signal as samples are
         added and STL is exact at the posterior; for discrete q, DisARM, leave-one-out and REBAR beat REINFORCE by
         orders of magnitude, at very different prices
Command  python -m jensen.experiments.claims.gradient_variance
"""

if __name__ == "__main__":  # before the imports, in which Ctrl-C is then one line too
    from jensen.experiments.reproduce import launch

    launch(__file__)

import math
import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import NamedTuple

import tyro
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch.func import vmap

from jensen.core import bounds, keys
from jensen.estimators.diagnostics import quality
from jensen.experiments.claims.gradient_problems import Problem, all_problems
from jensen.experiments.report.drawing import line, panels, png
from jensen.experiments.run import files
from jensen.experiments.run.command import command
from jensen.experiments.run.errors import InputError

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


class Measured(NamedTuple):
    """An estimator's gradient at K samples in one group of parameters, as `diagnostics.Quality` has it."""

    problem: str
    estimator: str
    elbo: bool  # else it is an estimator of IWAE
    k: int
    group: str
    reps: int
    seconds: float  # per gradient
    norm: float
    variance: float
    snr: float
    bias: float  # NaN without an exact gradient, like the next two
    errors: float
    cosine: float
    limit: float
    broken: float


def main(argv: list[str] | None = None) -> None:
    """The command line."""
    with command("run it again", "--samples or --reps"):
        settings = tyro.cli(Settings, args=argv, prog="python -m jensen.experiments.claims.gradient_variance")
        settings.check()
        print(table(run(settings), settings.table))
        print(f"rows and figures in {settings.out}")


def run(settings: Settings) -> list[Measured]:
    """Measures, and leaves rows and figures in the folder."""
    files.make(settings.out)
    rows = [row for problem in all_problems() for row in measure(problem, settings)]
    for name, figure in draw(rows).items():
        files.write_atomically(settings.out / f"{name}.png", png(figure))
    files.write_rows(settings.out / "rows.jsonl", [row._asdict() for row in rows])
    return rows


def measure(problem: Problem, settings: Settings) -> list[Measured]:
    """One row per estimator, K and group of parameters."""
    rows, q = [], problem.build(problem.params)[0]
    for estimate in problem.estimators:
        for k in settings.samples:
            if not estimate.can(q, k):
                continue
            gradient = partial(problem.gradient, estimate, k)
            reps = min(settings.reps, problem.reps, max(50, settings.budget // k))
            each = keys.split(keys.key(k), reps)
            exact = problem.exact if estimate.bound == bounds.elbo else None
            quality(gradient, each[:2], exact)
            start = time.perf_counter()
            vmap(gradient, chunk_size=min(reps, max(10, 5000 // k)))(each)
            seconds = (time.perf_counter() - start) / reps
            found = quality(gradient, each, exact, chunk=max(10, 5000 // k))
            for group, parts in found.items():
                numbers = {field: float(value) for field, value in parts._asdict().items()}
                of = (problem.name, estimate.name, estimate.bound == bounds.elbo, k, group, reps, seconds)
                rows.append(Measured(*of, **numbers))
    return rows


def table(rows: Sequence[Measured], k: int) -> str:
    """phi's gradient at k samples: variance, signal to noise, bias over its error, time."""
    lines = []
    problem = None
    for row in rows:
        if row.group != "phi" or row.k != k:
            continue
        if row.problem != problem:
            problem = row.problem
            lines += ["", f"{f'{problem}, K = {k}':<34}{'variance':>11}{'SNR':>9}{'bias/error':>12}{'µs':>9}"]
        noisy = row.variance > ROUNDING
        numbers = (f"{row.variance:.1e}", f"{row.snr:.2f}") if noisy else ("0", "")
        errors = f"{row.errors:.1f}" if noisy and not math.isnan(row.errors) else ""
        lines.append(f"  {row.estimator:<32}{numbers[0]:>11}{numbers[1]:>9}{errors:>12}{row.seconds * 1e6:>9.0f}")
    return "\n".join(lines)


def draw(rows: Sequence[Measured]) -> dict[str, Figure]:
    """Per problem: variance and signal to noise against K, and variance against time, of phi's gradient."""
    drawn = {}
    for i, problem in enumerate(dict.fromkeys(row.problem for row in rows)):
        here = [row for row in rows if row.problem == problem and row.group == "phi"]
        figure, axes = panels(1, 3, 15, 4.2)
        for style, name in enumerate(dict.fromkeys(row.estimator for row in here)):
            series = [row for row in here if row.estimator == name and row.variance > ROUNDING]
            k, variance = [row.k for row in series], [row.variance for row in series]
            line(axes[0, 0], k, variance, name, style)
            line(axes[0, 1], k, [row.snr for row in series], name, style)
            line(axes[0, 2], [row.seconds * 1e6 for row in series], variance, name, style)
        front(axes[0, 2], here)
        axes[0, 0].set(xlabel="K", ylabel="variance of phi's gradient", title=problem)
        axes[0, 1].set(xlabel="K", ylabel="signal to noise")
        axes[0, 2].set(xlabel="µs per gradient", ylabel="variance", title="grey: the Pareto front of the unbiased")
        for axis in axes.flat:
            axis.set(xscale="log", yscale="log")
        if axes[0, 0].get_legend_handles_labels()[0]:
            figure.legend(*axes[0, 0].get_legend_handles_labels(), loc="outside right upper", fontsize=8)
        drawn[f"{i + 1}-{''.join(c if c.isalnum() else '-' for c in problem)}"] = figure
    return drawn


def front(axis: Axes, rows: Sequence[Measured]) -> None:
    """Those that no other estimator of the ELBO beats in both variance and time."""
    fair = [row for row in rows if row.elbo and not row.errors >= 5]
    fair = sorted((row for row in fair if row.variance > ROUNDING), key=lambda row: row.seconds)
    best, points = float("inf"), []
    for row in fair:
        if row.variance < best:
            best = row.variance
            points.append((row.seconds * 1e6, best))
    if points:
        axis.step(*zip(*points, strict=True), where="post", color="0.6", linewidth=4, zorder=0)

"""What the estimators rest on: limit theorems and the limits of estimation, each figure beside its exact value.

Claim    every figure is its exact value, to 4.5 standard errors or to rounding: a mean's error falls as N^(-1/2) where
         there is a variance and not at all for Cauchys; nothing unbiased is below Cramér and Rao's bound, and biased
         estimates are, of the variance and by James and Stein of three means or more; a log density's error grows as
         the covariance's condition number, by Cholesky's factor at about half of an inverse's
Command  python -m jensen.experiments.claims.probability
"""

if __name__ == "__main__":  # before the imports, in which Ctrl-C is then one line too
    from jensen.experiments.reproduce import launch

    launch(__file__)

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import tyro
from matplotlib.figure import Figure

from jensen.core import keys
from jensen.experiments.claims import estimation_limits, limit_theorems
from jensen.experiments.claims.checked import check_seed
from jensen.experiments.claims.computed import Part, Row, table
from jensen.experiments.report.drawing import colour, line, panels, png
from jensen.experiments.run import files
from jensen.experiments.run.command import command
from jensen.experiments.run.errors import InputError

PARTS = (
    limit_theorems.large_numbers,
    limit_theorems.central_limit,
    limit_theorems.characteristic,
    limit_theorems.heavy_tails,
    limit_theorems.moments,
    estimation_limits.variance_bounds,
    estimation_limits.shrinkage,
    estimation_limits.conditioning,
    estimation_limits.prior_strength,
    estimation_limits.maximum_entropy,
    estimation_limits.gaussian_shell,
)
LEAST = 20_000  # draws of which errors are known


@dataclass(frozen=True)
class Settings:
    """Compare figures of probability with their exact values: a table, a figure and JSON lines."""

    out: Path = Path("runs/probability")
    """Folder of rows.jsonl and probability.png; what it holds of these is replaced."""
    draws: int = 200_000
    """Draws of the most that a figure rests on; means of thousands rest on fewer."""
    seed: int = 0
    """Everything random follows from it."""

    def check(self) -> None:
        """Raises an InputError for what cannot work."""
        if self.draws < LEAST:
            raise InputError(f"expected --draws of at least {LEAST}, got {self.draws}: errors of fewer are not known")
        check_seed(self.seed)


def main(argv: list[str] | None = None) -> None:
    """The command line."""
    with command("run it again", "--draws"):
        settings = tyro.cli(Settings, args=argv, prog="python -m jensen.experiments.claims.probability")
        settings.check()
        print(table(run(settings)))
        print(f"\nrows and figure in {settings.out}")


def run(settings: Settings) -> list[Row]:
    """Computes, and leaves rows and the figure in the folder."""
    files.make(settings.out)
    parts = measure(settings)
    rows = [row for part in parts for row in part.rows]
    files.write_atomically(settings.out / "probability.png", png(draw_figure(parts)))
    files.write_rows(settings.out / "rows.jsonl", [{**row._asdict(), "holds": row.holds} for row in rows])
    return rows


def measure(settings: Settings) -> list[Part]:
    """Every part, with draws of its own."""
    each = keys.split(keys.key(settings.seed), len(PARTS))
    return [part(key, settings.draws) for part, key in zip(PARTS, each, strict=True)]


def draw_figure(parts: Sequence[Part]) -> Figure:
    """A panel per part: points of what was computed, lines of what is exact."""
    columns = 4
    figure, axes = panels(-(-len(parts) // columns), columns, 4.6 * columns, 3.6 * -(-len(parts) // columns))
    for axis, part in zip(axes.flat, parts, strict=False):
        for style, curve in enumerate(part.curves):
            if curve.exact:
                axis.plot(curve.x, curve.y, color=colour(style), linewidth=1.2, label=curve.name or None)
            else:
                line(axis, curve.x, curve.y, curve.name, style, linestyle="none")
        axis.set(xlabel=part.xlabel, ylabel=part.ylabel, title=part.rows[0].part)
        axis.set_xscale(part.scales[0])
        axis.set_yscale(part.scales[1])
        if part.ticks:
            axis.set_xticks(range(len(part.ticks)), part.ticks, rotation=20)
        axis.grid(alpha=0.25)
        axis.legend(fontsize=7)
    for axis in axes.flat[len(parts) :]:
        axis.set_axis_off()
    return figure

"""Fit every posterior family to targets of known evidence, and either direction of the KL to many random ones.

Claim    a diagonal normal is nats off where the posterior is bent, has several modes or a correlation; each richer
         family takes a part of that back, flows most, at a price in time. The reverse KL's fit leaves modes out, so
         that its ELBO follows the evidence of random targets less than importance sampling from the forward KL's fit
Command  python -m jensen.experiments.claims.posteriors
"""

if __name__ == "__main__":  # before the imports, in which Ctrl-C is then one line too
    from jensen.experiments.reproduce import launch

    launch(__file__)

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import torch
import tyro
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import Tensor
from torch.func import grad

from jensen.core import distributions, keys, trees
from jensen.core.contracts import Distribution
from jensen.core.distributions import DiagNormal
from jensen.core.models.latent.posteriors import POSTERIORS, Posterior
from jensen.core.trees import Tree
from jensen.estimators.gradients import stl
from jensen.experiments.claims.checked import check_at_least
from jensen.experiments.claims.computed import mean_and_error
from jensen.experiments.claims.kl_directions import Direction, directions
from jensen.experiments.claims.posterior_targets import Target, targets
from jensen.experiments.report.drawing import panels, png
from jensen.experiments.run import files
from jensen.experiments.run.command import command
from jensen.experiments.run.errors import InputError

KEY = keys.key(12)
POINTS = 200  # a side of a drawn density


@dataclass(frozen=True)
class Settings:
    """Fit posterior families to targets of known evidence: tables on the screen, a figure and rows in a folder."""

    out: Path = Path("runs/posteriors")
    """Folder of rows.jsonl and posteriors.png; what it holds of these is replaced."""
    steps: int = 1500
    """Of Adam, for each family and target; the rate falls to 0."""
    samples: int = 16
    """Of the gradient at each step."""
    lr: float = 0.02
    """Adam's first learning rate, of what would be an encoder's outputs; of a family's own networks a quarter."""
    draws: int = 20_000
    """Samples by which a fitted q is judged, and drawn."""
    random: int = 200
    """Random targets for the two directions of the KL."""

    def check(self) -> None:
        """Raises an InputError for what cannot work."""
        check_at_least(self, steps=1, samples=1, draws=2, random=3)
        if not self.lr > 0:
            raise InputError(f"expected a positive --lr, got {self.lr}")


class Fitted(NamedTuple):
    """A family's best q for a target."""

    target: str
    family: str
    gap: float  # log evidence - ELBO, in nats
    error: float  # standard error
    seconds: float  # per step


def main(argv: list[str] | None = None) -> None:
    """The command line."""
    with command("run it again", "--samples or --draws"):
        settings = tyro.cli(Settings, args=argv, prog="python -m jensen.experiments.claims.posteriors")
        settings.check()
        rows, each = run(settings)
        print(table(rows))
        print(table_of_directions(each))
        print(f"\nrows and figure in {settings.out}")


def run(settings: Settings) -> tuple[list[Fitted], list[Direction]]:
    """Fits, and leaves rows and a figure in the folder."""
    files.make(settings.out)
    rows, drawn = [], {}
    for target in targets():
        for name, family in POSTERIORS.items():
            row, z = fitted(target, name, family, settings)
            rows.append(row)
            drawn[target.name, name] = z
    each = directions(settings.random, settings.steps, KEY)
    files.write_atomically(settings.out / "posteriors.png", png(draw(rows, drawn)))
    files.write_rows(settings.out / "rows.jsonl", [row._asdict() for row in (*rows, *each)])
    return rows, each


def fitted(target: Target, name: str, family: Posterior, settings: Settings) -> tuple[Fitted, Tensor]:
    """The family fitted to a target by the gradient of its ELBO, and the first two coordinates of draws, (draws, 2).

    Outputs and the family's own parameters are all free, for there is one datum. From a narrow q off the centre: wide
    ones there are a poor local optimum of shapes with a hole.
    """
    init_key, start_key, step_key, judge_key = keys.split(KEY, 4)
    d, dtype = target.d, torch.float64
    loc = keys.normal(start_key, (1, d), dtype)
    outputs = torch.cat([loc, torch.full_like(loc, -1), loc.new_zeros(1, family.extra(d))], -1)
    free = {"outputs": outputs, "own": family.init(init_key, d, dtype)}
    own = {"params": trees.leaves(free["own"]), "lr": settings.lr / 4}
    adam = torch.optim.Adam([{"params": [free["outputs"]], "lr": settings.lr}, *([own] if own["params"] else [])])
    schedule = torch.optim.lr_scheduler.LinearLR(adam, 1.0, 1 / settings.steps, settings.steps)

    def build(free: Tree) -> Distribution:
        loc, log_scale, extra = free["outputs"].split([d, d, family.extra(d)], -1)
        return family(free["own"], DiagNormal(loc, log_scale), extra)

    def loss(free: Tree, key: Tensor) -> Tensor:
        q = build(free)
        return -stl(target.log_p, q, q.noise(key, settings.samples)).sum()

    start = time.perf_counter()
    for step in range(settings.steps):
        trees.set_grads(free, grad(loss)(free, keys.fold_in(step_key, step)))
        adam.step()
        schedule.step()
    seconds = (time.perf_counter() - start) / settings.steps
    with torch.no_grad():
        z, log_q = distributions.draw(build(free), judge_key, settings.draws)
        gaps = target.log_evidence - (target.log_p(z) - log_q)[:, 0]
    return Fitted(target.name, name, *mean_and_error(gaps), seconds), z[:, 0, :2]


def table(rows: Sequence[Fitted]) -> str:
    """Gaps in nats, a line per family."""
    names = list(dict.fromkeys(row.target for row in rows))
    found = {(row.target, row.family): row for row in rows}
    lines = [f"{'log evidence − ELBO, nats':<26}" + "".join(f"{name.partition(':')[0][:15]:>17}" for name in names)]
    for family in dict.fromkeys(row.family for row in rows):
        each = [found[name, family] for name in names]
        milliseconds = 1e3 * sum(row.seconds for row in each) / len(each)
        head = f"{family:<12}{milliseconds:>8.1f} ms/step"
        lines.append(f"  {head:<24}" + "".join(f"{f'{row.gap:.3f} ± {row.error:.3f}':>17}" for row in each))
    return "\n".join(lines)


def table_of_directions(each: Sequence[Direction]) -> str:
    """How estimates from the two fits follow the evidence of random targets."""
    lines = ["", f"{'random targets: log Z by':<44}{'mean error':>12}{'root mean square':>18}{'correlation':>13}"]
    for row in each:
        lines.append(f"  {row.estimate:<42}{row.mean_error:>+12.3f}{row.rms:>18.3f}{row.correlation:>13.3f}")
    return "\n".join(lines)


def draw(rows: Sequence[Fitted], drawn: dict[tuple[str, str], Tensor]) -> Figure:
    """A row per target: its density, and that of each family's draws, with the gap."""
    each = targets()
    figure, axes = panels(len(each), 1 + len(POSTERIORS), 1.75 * (1 + len(POSTERIORS)), 1.9 * len(each))
    gaps = {(row.target, row.family): row.gap for row in rows}
    for line, target in zip(axes, each, strict=True):
        exact(line[0], target)
        for axis, name in zip(line[1:], POSTERIORS, strict=True):
            x0, x1, y0, y1 = target.window
            axis.hist2d(*drawn[target.name, name].T.numpy(), bins=60, range=((x0, x1), (y0, y1)), cmap="Blues")
            axis.set_title(f"{name}: {gaps[target.name, name]:.2f} nats", fontsize=8)
            axis.set(xticks=[], yticks=[])
    return figure


def exact(axis: Axes, target: Target) -> None:
    x0, x1, y0, y1 = target.window
    x, y = (torch.linspace(a, b, POINTS, dtype=torch.float64) for a, b in ((x0, x1), (y0, y1)))
    points = torch.stack(torch.meshgrid(x, y, indexing="xy"), -1).reshape(-1, 2)
    log_p = target.plane(points).reshape(POINTS, POINTS)
    axis.imshow(
        (log_p - log_p.max()).exp().numpy(), extent=(x0, x1, y0, y1), origin="lower", aspect="auto", cmap="Greys"
    )
    axis.set_title(target.name, fontsize=8)
    axis.set(xticks=[], yticks=[])

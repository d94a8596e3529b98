"""Deep flows in thousands of dimensions: what keeps their first steps finite, and what they gain on a horseshoe.

Claim    couplings whose last layers start at 0 need no remedy on a smooth target. Started at random, their first
         gradients are thousands of times as large and more with each layer: bounded spectral norms mend that,
         normalised or clipped, and a warm-up of the step size does not. On a horseshoe posterior flows from the mean
         field's fit gain a few nats, by small steps alone, and annealing says itself where it has not converged
Command  python -m jensen.experiments.claims.stability
"""

if __name__ == "__main__":  # before the imports, in which Ctrl-C is then one line too
    from jensen.experiments.reproduce import launch

    launch(__file__)

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import NamedTuple

import torch
import tyro
from matplotlib.figure import Figure
from torch import Tensor

from jensen.core import keys
from jensen.core.contracts import Key
from jensen.core.distributions import Pushforward
from jensen.estimators.evidence import annealed_importance, linear
from jensen.experiments.claims.checked import check_seed
from jensen.experiments.claims.stability_problems import (
    REMEDIES,
    STARTS,
    Horseshoe,
    chain,
    deep,
    fit,
    independent_gap,
)
from jensen.experiments.report.drawing import line, name_ends, panels, png
from jensen.experiments.run import files
from jensen.experiments.run.command import command
from jensen.experiments.run.errors import InputError

SHOWN = 40  # rows of a run, at most
MEAN_FIELD_RATE = 100  # times a flow's step size


@dataclass(frozen=True)
class Settings:
    """Fit flows of many layers in many dimensions: tables, a figure and JSON lines."""

    out: Path = Path("runs/stability")
    """Folder of rows.jsonl, horseshoe.jsonl and stability.png; what it holds of these is replaced."""
    dimensions: tuple[int, ...] = (1000, 4000)
    """Dimensions of the smooth target."""
    layers: tuple[int, ...] = (8, 16)
    """Couplings, an even number."""
    hidden: int = 64
    """Units of each coupling's network."""
    steps: int = 150
    """Steps on the smooth target."""
    lr: float = 1e-3
    """Adam's step size on the smooth target."""
    horseshoe: int = 4000
    """Dimensions of the horseshoe posterior: half of them coefficients, half of them scales."""
    data: int = 400
    """Its data."""
    fit_steps: int = 1000
    """Steps on the horseshoe; the mean field takes twice as many."""
    fit_lr: float = 5e-5
    """Adam's step size there; the mean field's is 100 times that."""
    temperatures: int = 1000
    """Of annealing."""
    chains: int = 16
    """Of annealing."""
    seed: int = 0
    """Everything random follows from it."""

    def check(self) -> None:
        """Raises an InputError for what cannot work."""
        if not self.layers or any(layers < 2 or layers % 2 for layers in self.layers):
            raise InputError(f"--layers {self.layers}: expected even numbers of at least 2")
        if not self.dimensions or min(*self.dimensions, self.horseshoe - 40) < 2 or self.horseshoe % 2:
            raise InputError("expected --dimensions of at least 2, and an even --horseshoe of at least 42")
        if min(self.hidden, self.data, self.steps, self.fit_steps) < 1 or self.temperatures < 2 or self.chains < 2:
            raise InputError("expected sizes of at least 1, and --temperatures and --chains of at least 2")
        if not (0 < self.lr <= 1 and 0 < self.fit_lr <= 1):
            raise InputError(f"--lr {self.lr}, --fit-lr {self.fit_lr}: expected step sizes in (0, 1]")
        check_seed(self.seed)


class Step(NamedTuple):
    """A step of one fit to the smooth target, whose evidence is 1."""

    d: int
    layers: int
    start: str
    remedy: str
    step: int
    log_det: float  # mean over samples
    gradient: float  # norm over all parameters
    gap: float  # KL(q || p) of the step's samples, in nats

    @property
    def name(self) -> str:
        return f"{self.start} start" + ("" if self.remedy == "none" else f", {self.remedy}")


class Fit(NamedTuple):
    """What one posterior says of the horseshoe's evidence, in nats."""

    posterior: str
    value: float
    error: float | None  # None: not known
    verdict: str


def main(argv: list[str] | None = None) -> None:
    """The command line."""
    with command("run it again", "--dimensions, --layers or --hidden"):
        settings = tyro.cli(Settings, args=argv, prog="python -m jensen.experiments.claims.stability")
        settings.check()
        steps, fits = run(settings)
        print(table(steps))
        print(f"\n{table_of_fits(fits, settings)}\n\nrows and figure in {settings.out}")


def run(settings: Settings) -> tuple[list[Step], list[Fit]]:
    """Fits, and leaves rows and the figure in the folder."""
    files.make(settings.out)
    cases = product(settings.dimensions, settings.layers, STARTS, REMEDIES)
    steps = [row for case in cases for row in measure(*case, settings)]
    fits = on_horseshoe(settings)
    files.write_atomically(settings.out / "stability.png", png(draw_figure(steps)))
    files.write_rows(settings.out / "rows.jsonl", [row._asdict() for row in steps])
    files.write_rows(settings.out / "horseshoe.jsonl", [row._asdict() for row in fits])
    return steps, fits


def measure(d: int, layers: int, start: str, remedy: str, settings: Settings) -> list[Step]:
    """The fit of one flow to `chain`, step by step."""
    key, every = keys.key(settings.seed), -(-settings.steps // SHOWN)
    found = []

    def watch(step: int, log_det: Tensor, gradient: Tensor, loss: Tensor) -> None:
        if step % every == 0 or step == settings.steps - 1:
            values = (float(t) for t in (log_det, gradient, loss))
            found.append(Step(d, layers, start, remedy, step, *values))

    fit(deep(key, d, layers, settings.hidden, start), chain, remedy, settings.steps, settings.lr, key, watch)
    return found


def on_horseshoe(settings: Settings) -> list[Fit]:
    """The ELBO of the mean field, of flows from its fit, and annealing from it."""
    key = keys.key(settings.seed)
    model = Horseshoe.simulated(key, settings.horseshoe, settings.data)
    start = deep(key, model.d, 0, settings.hidden, "zero")
    rate = settings.fit_lr
    mean_field = fit(start, model.log_joint, "none", 2 * settings.fit_steps, MEAN_FIELD_RATE * rate, key)
    found = [bound("mean field", mean_field, model, key)]
    for layers in settings.layers:
        flow = deep(key, model.d, layers, settings.hidden, "zero")._replace(base=mean_field.base)
        fitted = fit(flow, model.log_joint, "normalised", settings.fit_steps, rate, keys.fold_in(key, 1))
        found.append(bound(f"{layers} couplings", fitted, model, key))
    schedule = linear(settings.temperatures, torch.float32)
    annealed = annealed_importance(model.log_joint, mean_field.base, keys.fold_in(key, 2), settings.chains, schedule)
    known = bool(annealed.standard_error.isfinite())
    error = float(annealed.standard_error) if known else None
    return [*found, Fit("annealing from the mean field", float(annealed.log_p), error, annealed.verdict())]


def bound(name: str, q: Pushforward, model: Horseshoe, key: Key, draws: int = 1000, chunk: int = 100) -> Fit:
    """The ELBO of a posterior, with its Monte Carlo error."""
    log_w = []
    with torch.no_grad():
        for i in range(0, draws, chunk):
            z, log_q = q.draw(keys.at(keys.fold_in(key, 3), particle=i), chunk)
            log_w.append(model.log_joint(z) - log_q)
    every = torch.cat(log_w)
    return Fit(name, float(every.mean()), float(every.std() / draws**0.5), "a lower bound")


def table(rows: Sequence[Step]) -> str:
    """The gradient's norm at first, at its largest and at last, and what is left of the gap, of every fit."""
    head = f"{'flow':<28}{'|grad| first':>14}{'largest':>10}{'last':>10}{'log det / d':>13}{'gap / d':>10}"
    lines = ["ELBO of a normal chain, whose evidence is 1, by couplings over independent normals; nats per dimension"]
    for d, layers in dict.fromkeys((row.d, row.layers) for row in rows):
        here = [row for row in rows if (row.d, row.layers) == (d, layers)]
        best = f"the best independent normals: {independent_gap(d) / d:.3f}"
        lines += ["", f"{layers} couplings, d = {d}; {best}", head]
        for name in dict.fromkeys(row.name for row in here):
            of_fit = [row for row in here if row.name == name]
            first, last, most = of_fit[0], of_fit[-1], max(row.gradient for row in of_fit)
            cells = f"{first.gradient:>14.2g}{most:>10.2g}{last.gradient:>10.2g}{last.log_det / d:>13.3f}"
            lines.append(f"{name:<28}{cells}{last.gap / d:>10.3g}")
        lines.append(verdict(here))
    return "\n".join(lines)


def verdict(here: Sequence[Step]) -> str:
    """How much larger the first gradients of random starts are than that of a start at zero, by remedy."""
    first = {(row.start, row.remedy): row.gradient for row in here if row.step == 0}
    times = [f"{first['random', remedy] / first['zero', 'none']:.2g} ({remedy})" for remedy in REMEDIES]
    return f"first gradient of a random start over that of a start at zero: {', '.join(times)}"


def table_of_fits(fits: Sequence[Fit], settings: Settings) -> str:
    """Each posterior's bound beside annealing."""
    lines = [f"log p of a horseshoe logistic regression, d = {settings.horseshoe}, {settings.data} data, in nats"]
    for row in fits:
        error = "± ?" if row.error is None else f"± {row.error:.2f}"
        lines.append(f"{row.posterior:<30}{row.value:>12.2f} {error:<9}{row.verdict}")
    return "\n".join(lines)


def draw_figure(rows: Sequence[Step]) -> Figure:
    """A column per flow and dimension: the gradient's norm and the log det by step."""
    places = list(dict.fromkeys((row.d, row.layers) for row in rows))
    figure, axes = panels(2, len(places), 4.2 * len(places), 7)
    for column, (d, layers) in zip(axes.T, places, strict=True):
        here = [row for row in rows if (row.d, row.layers) == (d, layers)]
        for style, name in enumerate(dict.fromkeys(row.name for row in here)):
            of_fit = [row for row in here if row.name == name]
            look = {"linestyle": "-" if of_fit[0].start == "zero" else "--", "markersize": 2}
            at = [row.step + 1 for row in of_fit]
            line(column[0], at, [row.gradient for row in of_fit], name, style, **look)
            line(column[1], at, [row.log_det / d for row in of_fit], name, style, **look)
        column[0].set(yscale="log", title=f"{layers} couplings, d = {d}")
        column[1].set_xlabel("step")
        for axis in column:
            axis.set_xscale("log")
            axis.grid(alpha=0.25)
            name_ends(axis)
    axes[0][0].set_ylabel("norm of the gradient, nats")
    axes[1][0].set_ylabel("log det, nats per dimension")
    return figure

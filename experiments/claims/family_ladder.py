"""Train one VAE with posterior families from none to flows, and close what amortisation leaves by steps of refinement.

Claim    on equal steps a richer posterior ends with a higher bound: no flow < planar < Sylvester (van den Berg et al.,
         2018), and IAF between, which in two dimensions can bend one of them at a time; 5 and 20 steps from the
         encoder's q close most of the amortisation gap (Kim et al., 2018)
Command  python -m jensen.experiments.claims.family_ladder
"""

if __name__ == "__main__":  # before the imports, in which Ctrl-C is then one line too
    from jensen.experiments.reproduce import launch

    launch(__file__)

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Literal, NamedTuple

import torch
import tyro
from matplotlib.figure import Figure

from jensen.core import keys
from jensen.core.contracts import Amortised, can
from jensen.estimators.diagnostics import fit_each
from jensen.estimators.evidence import draw
from jensen.experiments.claims.checked import check_at_least
from jensen.experiments.claims.computed import mean_and_error
from jensen.experiments.claims.trained import trained
from jensen.experiments.data.images import ImageData
from jensen.experiments.programs.finished import read_finished
from jensen.experiments.programs.vae import Vae
from jensen.experiments.report.drawing import line, panels, png
from jensen.experiments.report.encoder import refined
from jensen.experiments.report.outputs import own
from jensen.experiments.run import files
from jensen.experiments.run.command import command
from jensen.experiments.run.errors import InputError
from jensen.experiments.run.settings import Run

LECTURE = {0: 5.2, 5: 1.3, 20: 0.4}  # nats of amortisation gap after so many steps, as a lecture has them, of MNIST
KEY = keys.key(21)


@dataclass(frozen=True)
class Settings:
    """Compare posterior families by the bound that a VAE reaches with them, over several seeds."""

    data: Literal["digits", "mnist", "mnist-static"] = "digits"
    """As for experiments.train."""
    data_dir: Path | None = None
    """As for experiments.train."""
    out: Path = Path("runs/family-ladder")
    """Folder of a run per family and seed, of rows.jsonl and of a figure; a run that is there is gone on with."""
    families: tuple[str, ...] = ("diag", "planar", "sylvester", "iaf")
    """Posteriors as --posterior of train vae has them; differences are to the first."""
    seeds: int = 3
    """Runs of each family."""
    steps: int = 2000
    """Of training."""
    latent: int = 2
    """Latent dimensions: in few, posteriors are far from normal."""
    hidden: tuple[int, ...] = (200, 200)
    """Widths of hidden layers."""
    images: int = 50
    """Test images whose amortisation gap is measured, in the first family's runs."""
    fit_steps: int = 500
    """Of Adam, for the best q of each of these images."""
    refine: tuple[int, ...] = (0, 5, 20)
    """Steps from the encoder's q."""
    compile: bool = True
    """Compile the step and the evaluation with torch.compile."""

    def check(self) -> None:
        """Raises an InputError for what cannot work."""
        if self.seeds < 2:
            raise InputError(f"--seeds {self.seeds}: expected at least 2, one has no standard error")
        if len(self.families) < 2 or len(set(self.families)) < len(self.families):
            raise InputError(f"--families {' '.join(self.families)}: expected two different ones or more")
        check_at_least(self, images=2, fit_steps=1)
        if any(steps < 0 for steps in self.refine):
            raise InputError(f"--refine {' '.join(map(str, self.refine))}: expected counts of steps of at least 0")


class Outcome(NamedTuple):
    """What a run came to on test data, in nats per datum."""

    family: str
    seed: int
    elbo: float
    nll: float
    error: float  # Monte Carlo, of the NLL
    training_s: float


class Left(NamedTuple):
    """The amortisation gap after steps from the encoder's q, of images of one seed, in nats per datum."""

    seed: int
    steps: int
    gap: float
    error: float  # standard error over images


def main(argv: list[str] | None = None) -> None:
    """The command line."""
    with command("run it again to go on", "--hidden or --images"):
        settings = tyro.cli(Settings, args=argv, prog="python -m jensen.experiments.claims.family_ladder")
        settings.check()
        rows, left = run(settings)
        print(table(rows, settings))
        print(table_of_steps(left, settings))
        print(f"\nruns, rows and figure in {settings.out}")


def run(settings: Settings) -> tuple[list[Outcome], list[Left]]:
    """A row per family and seed, and one per seed and number of steps."""
    each = [(family, seed, options(family, seed, settings)) for seed in seeds(settings) for family in settings.families]
    for _, _, one in each:
        one.check()
    files.make(settings.out)
    rows = [Outcome(family, seed, *trained("vae", one)) for family, seed, one in each]
    left = [
        gap for seed in seeds(settings) for gap in gaps(folder(settings.families[0], seed, settings), seed, settings)
    ]
    files.write_atomically(settings.out / "family-ladder.png", png(drawing(rows, left, settings)))
    files.write_rows(settings.out / "rows.jsonl", [row._asdict() for row in (*rows, *left)])
    return rows, left


def seeds(settings: Settings) -> range:
    return range(settings.seeds)


def folder(family: str, seed: int, settings: Settings) -> Path:
    name = "".join(c if c.isalnum() else "-" for c in family).strip("-")
    return settings.out / f"{name}-{seed}"


def options(family: str, seed: int, settings: Settings) -> Vae:
    """The run of a family: families of one seed start with one decoder, and see the same batches."""
    place = folder(family, seed, settings)
    return Vae(
        images=ImageData(data=settings.data, data_dir=settings.data_dir),
        hidden=settings.hidden,
        latent=settings.latent,
        posterior=family,
        evidence_k=200,
        run=Run(steps=settings.steps, seed=seed, compile=settings.compile, checkpoint_every=settings.steps, out=place),
    )


@torch.no_grad()
def gaps(path: Path, seed: int, settings: Settings) -> list[Left]:
    """Of a finished run: ELBO of the best q of each image less that of the q that steps lead to, on the same noise."""
    done = read_finished(path)
    assert can(done.model, Amortised)
    x, params = done.images.test[: settings.images], done.params
    fit_key, refine_key, judge_key = keys.split(KEY, 3)
    log_p = partial(done.model.log_joint, params, x)
    best = fit_each(log_p, own(done.model, params, x), fit_key, settings.fit_steps, 10, 0.02)
    of_best = draw(log_p, best, 500, judge_key).mean(0)
    found = []
    for steps in settings.refine:
        gap = of_best - draw(log_p, refined(done.model, params, x, steps, refine_key), 500, judge_key).mean(0)
        found.append(Left(seed, steps, *mean_and_error(gap)))
    return found


def table(rows: Sequence[Outcome], settings: Settings) -> str:
    """Bounds by family, with standard errors over seeds; the gain over the first family is by seed."""
    head = f"{settings.data}, {settings.latent} latents, {settings.steps} steps, {settings.seeds} seeds"
    lines = [f"{head:<42}{'ELBO':>18}{'gain':>17}{'NLL':>17}{'training s':>12}"]
    first = {row.seed: row.elbo for row in rows if row.family == settings.families[0]}
    for family in settings.families:
        each = [row for row in rows if row.family == family]
        elbo, gain = (
            mean_and_error([row.elbo for row in each]),
            mean_and_error([row.elbo - first[row.seed] for row in each]),
        )
        nll, seconds = mean_and_error([row.nll for row in each]), mean_and_error([row.training_s for row in each])[0]
        gained = "" if family == settings.families[0] else f"{gain[0]:+.3f} ± {gain[1]:.3f}"
        lines.append(
            f"  {family:<40}{f'{elbo[0]:.3f} ± {elbo[1]:.3f}':>18}{gained:>17}{f'{nll[0]:.3f} ± {nll[1]:.3f}':>17}"
            f"{seconds:>12.0f}"
        )
    return "\n".join(lines)


def table_of_steps(left: Sequence[Left], settings: Settings) -> str:
    """The amortisation gap by steps, beside the lecture's."""
    lines = ["", f"{f'amortisation gap, {settings.families[0]} posterior':<42}{'nats':>18}{'in a lecture':>17}"]
    for steps in settings.refine:
        gap, error = mean_and_error([row.gap for row in left if row.steps == steps])
        claimed = f"{LECTURE[steps]:.1f}" if steps in LECTURE else ""
        lines.append(f"  {f'after {steps} steps of refinement':<40}{f'{gap:.3f} ± {error:.3f}':>18}{claimed:>17}")
    return "\n".join(lines)


def drawing(rows: Sequence[Outcome], left: Sequence[Left], settings: Settings) -> Figure:
    """The bound of every run by family, and the gap against steps by seed."""
    figure, axes = panels(1, 2, 9, 3.6)
    for seed in seeds(settings):
        elbo = [row.elbo for row in rows if row.seed == seed]
        line(axes[0, 0], range(len(elbo)), elbo, f"seed {seed}", seed)
        each = [row for row in left if row.seed == seed]
        line(axes[0, 1], [row.steps for row in each], [row.gap for row in each], f"seed {seed}", seed,
             [row.error for row in each])  # fmt: skip
    axes[0, 0].set_xticks(range(len(settings.families)), settings.families)
    axes[0, 0].set(ylabel="test ELBO, nats", title=f"{settings.data}, {settings.latent} latents")
    axes[0, 1].axhline(0, color="black", linewidth=1)
    axes[0, 1].set(xlabel="steps of refinement", ylabel="amortisation gap, nats", title=settings.families[0])
    axes[0, 1].legend(frameon=False, fontsize=8)
    return figure

"""Train a VAE, two GANs, a flow and a diffusion on the same images, and judge their draws by a classifier's features.

Claim    at one number of steps adversaries, which have no likelihood, draw images whose features are nearer to the
         data's than the means of a VAE, a flow matched to velocities and a diffusion are; a bound on log p(x) have only
         the VAE and the diffusion, and what a model says of data is not what its draws are worth (Theis et al., 2016)
Command  python -m jensen.experiments.claims.gan_or_vae
         python -m jensen.experiments.claims.gan_or_vae --data mnist --data-dir FOLDER
"""

if __name__ == "__main__":  # before the imports, in which Ctrl-C is then one line too
    from jensen.experiments.reproduce import launch

    launch(__file__)

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import tyro
from matplotlib.figure import Figure

from jensen.core import keys
from jensen.experiments.claims.checked import check_at_least
from jensen.experiments.claims.compared import Column, Contender, Row, check_seeds, over_seeds, place, table, values
from jensen.experiments.data.images import ImageData
from jensen.experiments.data.points import PointData
from jensen.experiments.programs import Classifier, Diffusion, Flow, Gan, Vae
from jensen.experiments.programs.draws import drawn, pixels, shape
from jensen.experiments.programs.finished import FinishedRun, read_run
from jensen.experiments.programs.judge import Judge, read_judge
from jensen.experiments.report.drawing import png
from jensen.experiments.report.draws import LEAST, against, measured, most
from jensen.experiments.report.images import Shape, grid
from jensen.experiments.run import files
from jensen.experiments.run.command import command
from jensen.experiments.run.errors import InputError
from jensen.experiments.run.folder import REPORT
from jensen.experiments.run.kept import findings, finished, training_seconds
from jensen.experiments.run.optimisers import Optimiser
from jensen.experiments.run.settings import Run

KEY = keys.key(37)
HELD_OUT = "held-out images"
SHADES = {"digits": 17, "mnist": 256}
SHOWN = 12  # draws of each in the figure
COLUMNS = (
    Column("Fréchet", "frechet_extrapolated"), Column("kernel", "kernel_distance"),
    Column("inception", "inception_score"), Column("precision", "precision"), Column("recall", "recall"),
    Column("bits/dim at most", "bits"), Column("of a density", "bits_of_density"), Column("seconds", "training_s", 0),
)  # fmt: skip
NOTE = (
    "Fréchet distances are without their bias at this number of draws. Bits are at most the VAE's by importance\n"
    "sampling and the diffusion's ELBO; the flow's are those of a density over a shade's cell, which no coder reaches."
)


@dataclass(frozen=True)
class Settings:
    """Compare kinds of generators of images at one number of steps, over several seeds."""

    data: Literal["digits", "mnist"] = "digits"
    """As for experiments.train."""
    data_dir: Path | None = None
    """As for experiments.train."""
    out: Path = Path("runs/gan-or-vae")
    """Folder of a run per contender and seed and of the classifier, of rows.jsonl and of a figure; a run that is there
    is gone on with."""
    seeds: int = 3
    """Runs of each."""
    steps: int = 4000
    """Of optimisers: of a GAN's critic and generator in all."""
    hidden: tuple[int, ...] = (256, 256)
    """Widths of hidden layers."""
    draws: int = 2000
    """Of each, or as many as there are test images."""
    epochs: int = 20
    """Of the classifier."""
    compile: bool = True
    """Compile the step and the evaluation with torch.compile."""

    def check(self) -> None:
        """Raises an InputError for what cannot work."""
        check_seeds(self.seeds)
        check_at_least(self, draws=LEAST)


def main(argv: list[str] | None = None) -> None:
    """The command line."""
    with command("run it again to go on", "--hidden or --draws"):
        settings = tyro.cli(Settings, args=argv, prog="python -m jensen.experiments.claims.gan_or_vae")
        settings.check()
        rows = measure(settings)
        print(table(f"{settings.data}, {settings.steps} steps, {settings.seeds} seeds", rows, COLUMNS))
        print(f"\n{verdict(rows)}\n{NOTE}\nruns, rows and figure in {settings.out}")


def measure(settings: Settings) -> list[Row]:
    """A row per contender and seed, held-out images first, and the figure of the first seed."""
    others, judging = contenders(settings), classifier(settings)
    each = {(name, seed): one.settings(seed, place(settings.out, name, seed))
            for seed in range(settings.seeds) for name, one in others.items()}  # fmt: skip
    for one in (judging, *each.values()):
        one.check()
    files.make(settings.out)
    finished("classifier", judging, seconds)
    for (name, _), one in each.items():
        finished(others[name].kind, one, seconds)
    judge = read_judge(settings.out / "classifier")
    rows = [row for seed in range(settings.seeds) for row in judged(settings, judge, seed)]
    files.write_atomically(settings.out / "gan-or-vae.png", png(drawing(settings, judge)))
    files.write_rows(settings.out / "rows.jsonl", [{"name": r.name, "seed": r.seed, **r.numbers} for r in rows])
    return rows


def judged(settings: Settings, judge: Judge, seed: int) -> list[Row]:
    """The rows of a seed: all draws are compared with the same training images."""
    key, n = keys.fold_in(KEY, seed), min(settings.draws, most(judge))
    features, held_out = against(judge, n, key)
    rows = [Row(HELD_OUT, seed, measured(judge, held_out, features).numbers())]
    for name in contenders(settings):
        run = read_run(place(settings.out, name, seed))
        found = measured(judge, pixels(run, drawn(run, key, n)), features).numbers()
        rows.append(Row(name, seed, {**found, **likelihood(run), **(seconds(run.folder) or {})}))
    return rows


def classifier(settings: Settings) -> Classifier:
    """The judge."""
    run = Run(epochs=settings.epochs, compile=settings.compile, out=settings.out / "classifier")
    return Classifier(data=settings.data, data_dir=settings.data_dir, run=run)


def contenders(settings: Settings) -> Mapping[str, Contender]:
    """By name, of one number of steps and one network but for its ends."""
    points, hidden = PointData(data=settings.data, data_dir=settings.data_dir), settings.hidden
    images = ImageData(data=settings.data, data_dir=settings.data_dir, pixels="grey")

    def run(seed: int, out: Path, **own: Any) -> Run:
        steps, compile = settings.steps, settings.compile
        return Run(steps=steps, checkpoint_every=steps, seed=seed, compile=compile, out=out, **own)

    def vae(seed: int, out: Path) -> Vae:
        return Vae(
            images=images, likelihood="discretised-logistic", hidden=hidden, evidence_k=200,
            optimiser=Optimiser(lr=2e-3), run=run(seed, out),
        )  # fmt: skip

    def gan(seed: int, out: Path, **own: Any) -> Gan:
        return Gan(
            points=points, latent=32, hidden=hidden, leak=0.2, generator_average=0.998,
            optimiser=Optimiser(lr=1e-3, beta1=0.0, beta2=0.99), run=run(seed, out, lr_final=0.02), **own,
        )  # fmt: skip

    def wgan_gp(seed: int, out: Path) -> Gan:
        return gan(seed, out, strength=1.0, critics=2)

    def r3gan(seed: int, out: Path) -> Gan:
        return gan(seed, out, game="relativistic", smooth="r1-r2", strength=1.0, critics=1)

    def flow(seed: int, out: Path) -> Flow:
        return Flow(points=points, hidden=hidden, run=run(seed, out, average=0.999, lr_final=0.01))

    def diffusion(seed: int, out: Path) -> Diffusion:
        return Diffusion(points=points, hidden=hidden, run=run(seed, out, average=0.999, lr_final=0.01))

    return {
        "VAE": Contender("vae", vae),
        "WGAN-GP": Contender("gan", wgan_gp),
        "R3GAN": Contender("gan", r3gan),
        "flow matching": Contender("flow", flow),
        "DDPM": Contender("diffusion", diffusion),
    }


def seconds(folder: Path) -> dict[str, float] | None:
    """Of a run's training; None where it has not left everything."""
    try:
        return {"training_s": training_seconds(folder)} if (folder / REPORT).is_file() else None
    except (InputError, TypeError, KeyError):
        return None


def likelihood(run: FinishedRun) -> dict[str, float]:
    """What the report says of log p(x), in bits of a pixel: a bound of masses, a density, or nothing."""
    found = findings(run.folder)
    if isinstance(run.settings, Vae):
        return {"bits": found["test"][0]["bits_per_dim"]}
    said = {row["name"]: row["mean"] for rows in found.values() for row in rows if "mean" in row}
    if isinstance(run.settings, Flow):
        cell = 2 / (SHADES[run.settings.points.data] - 1)  # of a shade, where pixels are in [-1, 1]
        return {"bits_of_density": -(said["log p"] / run.prepared.train.shape[1] + math.log(cell)) / math.log(2)}
    return {"bits": said["bits/dim are at most"]} if isinstance(run.settings, Diffusion) else {}


def verdict(rows: Sequence[Row]) -> str:
    """The order of the contenders by their draws, and by what they say of log p(x)."""
    orders = []
    for column, sign in ((COLUMNS[0], 1), (Column("recall", "recall"), -1), (Column("bits/dim", "bits"), 1)):
        means = {name: sign * over_seeds(values(rows, name, column))[0] for name in dict.fromkeys(r.name for r in rows)}
        known = [name for name, mean in means.items() if name != HELD_OUT and not math.isnan(mean)]
        orders.append(f"by {column.head}: {', '.join(sorted(known, key=means.__getitem__))}")
    return "the best first, " + "; ".join(orders)


def drawing(settings: Settings, judge: Judge) -> Figure:
    """Draws of the first seed's runs below one another, under held-out images."""
    shown, labels, of = [judge.test[:SHOWN]], [HELD_OUT], None
    for name in contenders(settings):
        run = read_run(place(settings.out, name, 0))
        shown.append(pixels(run, drawn(run, KEY, SHOWN)))
        labels.append(name)
        of = shape(run, shown[-1].shape[1])
    assert of is not None
    return grid(shown, Shape(of), labels, f"{settings.data}, {settings.steps} steps of each")

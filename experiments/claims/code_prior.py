"""Draw images from a prior of discrete codes and from a VAE of the same seconds, as a classifier's features see them.

Claim    a transformer over the codes of a VQ autoencoder draws images nearer to test images, by the Fréchet distance of
         a classifier's features, than a VAE that was trained for at least as long as both together
Command  python -m jensen.experiments.claims.code_prior
         python -m jensen.experiments.claims.code_prior --data mnist --data-dir FOLDER
"""

if __name__ == "__main__":  # before the imports, in which Ctrl-C is then one line too
    from jensen.experiments.reproduce import launch

    launch(__file__)

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal, NamedTuple

import torch
import tyro
from matplotlib.figure import Figure
from torch import Tensor

from jensen.core import keys
from jensen.estimators.diagnostics import frechet
from jensen.experiments.claims.checked import check_at_least
from jensen.experiments.claims.compared import Column, Contender, Row, check_seeds, compared, place, table, values
from jensen.experiments.claims.computed import mean_and_error, with_error
from jensen.experiments.data.images import ImageData
from jensen.experiments.programs.classifier import Classifier
from jensen.experiments.programs.draws import drawn
from jensen.experiments.programs.finished import read_codes, read_run
from jensen.experiments.programs.judge import Judge, read_judge
from jensen.experiments.programs.prior import Prior
from jensen.experiments.programs.vae import Vae
from jensen.experiments.programs.vq import Vq
from jensen.experiments.report.drawing import png
from jensen.experiments.report.images import Images, grid
from jensen.experiments.run import files
from jensen.experiments.run.command import command
from jensen.experiments.run.errors import InputError
from jensen.experiments.run.folder import REPORT
from jensen.experiments.run.kept import finished
from jensen.experiments.run.optimisers import Optimiser
from jensen.experiments.run.settings import Run

CODES, PRIOR, VAE = "codes", "prior", "VAE"  # the runs of a seed
SHOWN = 12  # images of each, in the figure
DRAWS = "codes and prior"  # in the table, of both runs
COLUMNS = (
    Column("Fréchet distance", "distance", 1), Column("of which bias", "bias", 1), Column("seconds", "training_s", 0),
)  # fmt: skip


class Sizes(NamedTuple):
    """What suits a data set."""

    hidden: int  # of encoders and decoders
    quantiser: str
    positions: int
    width: int  # of the prior
    layers: int
    dropout: float
    latent: int  # of the VAE
    steps: dict[str, int]
    labels: int  # steps of the classifier


SIZES = {
    "digits": Sizes(200, "vq(32)", 8, 64, 2, 0.2, 10, {CODES: 1500, PRIOR: 600, VAE: 6000}, 600),
    "mnist": Sizes(300, "vq(512, least=0.3)", 8, 128, 3, 0.0, 20, {CODES: 2500, PRIOR: 2000, VAE: 14_000}, 1800),
}


@dataclass(frozen=True)
class Settings:
    """Compare images of drawn codes with those of a VAE, over several seeds."""

    data: Literal["digits", "mnist"] = "digits"
    """As for experiments.train."""
    data_dir: Path | None = None
    """As for experiments.train."""
    out: Path = Path("runs/code-prior")
    """Folder of the runs, of rows.jsonl and of a figure; a run that is there is gone on with."""
    seeds: int = 2
    """Of each way."""
    draws: int = 5000
    """Images of each that are judged."""
    share: float = 1.0
    """Of the steps that suit the data set."""

    def check(self) -> None:
        """Raises an InputError for what cannot work."""
        check_seeds(self.seeds)
        check_at_least(self, draws=10)
        if not 0 < self.share <= 100:
            raise InputError(f"expected --share in (0, 100], got {self.share}: 1 has the steps that suit the data set")

    @property
    def sizes(self) -> Sizes:
        return SIZES[self.data]

    def steps(self, steps: int) -> int:
        return max(1, round(self.share * steps))


def main(argv: list[str] | None = None) -> None:
    """The command line."""
    with command("run it again to go on", "--draws"):
        settings = tyro.cli(Settings, args=argv, prog="python -m jensen.experiments.claims.code_prior")
        settings.check()
        rows = measure(settings)
        title = f"{settings.data}, {settings.draws} draws, {settings.seeds} seeds"
        print(f"{table(title, rows, COLUMNS)}\n{verdict(rows)}\n\nruns, rows and figure in {settings.out}")


def measure(settings: Settings) -> list[Row]:
    """A row for each way and seed, and of what bounds them: test images decoded from their codes."""
    trained = compared(contenders(settings), settings.seeds, settings.out)
    judge, rows, pictures = judged_by(settings), [], {}
    for seed in range(settings.seeds):
        seconds = {row.name: row.numbers["training_s"] for row in trained if row.seed == seed}
        seconds |= {DRAWS: seconds[CODES] + seconds[PRIOR]}
        for name, x in images(settings, seed).items():
            rows.append(Row(name, seed, {**distance(judge, x), "training_s": seconds.get(name, seconds[CODES])}))
            pictures.setdefault(name, x[:SHOWN])
    files.write_rows(settings.out / "rows.jsonl", [{"name": r.name, "seed": r.seed, **r.numbers} for r in rows])
    files.write_atomically(
        settings.out / "code-prior.png", png(drawing(read_codes(place(settings.out, CODES, 0)).images, pictures))
    )
    return rows


def contenders(settings: Settings) -> dict[str, Contender]:
    """The runs of a seed in their order: a prior is of the codes before it."""
    sizes, of = settings.sizes, ImageData(data=settings.data, data_dir=settings.data_dir)

    def run(name: str, seed: int, out: Path, clip: float | None = None) -> Run:
        steps = settings.steps(sizes.steps[name])
        return Run(steps=steps, seed=seed, clip=clip, compile=False, checkpoint_every=steps, out=out)

    def codes(seed: int, out: Path) -> Vq:
        return Vq(
            images=replace(of, pixels="grey"), quantiser=sizes.quantiser, hidden=(sizes.hidden,),
            positions=sizes.positions, run=run(CODES, seed, out),
        )  # fmt: skip

    def prior(seed: int, out: Path) -> Prior:
        return Prior(
            codes=place(settings.out, CODES, seed), width=sizes.width, layers=sizes.layers, dropout=sizes.dropout,
            run=run(PRIOR, seed, out, clip=1.0),
        )  # fmt: skip

    def vae(seed: int, out: Path) -> Vae:
        return Vae(
            images=of, hidden=(sizes.hidden,), activation="relu", latent=sizes.latent, evidence_k=10,
            optimiser=Optimiser(lr=1e-3), run=run(VAE, seed, out),
        )  # fmt: skip

    return {CODES: Contender("vq", codes), PRIOR: Contender("prior", prior), VAE: Contender("vae", vae)}


def judged_by(settings: Settings) -> Judge:
    """A classifier of the same training images, which has seen no draw."""
    out, steps = settings.out / "classifier", settings.steps(settings.sizes.labels)
    run = Run(steps=steps, compile=False, checkpoint_every=steps, out=out)
    one = Classifier(data=settings.data, data_dir=settings.data_dir, run=run)
    one.check()
    finished("classifier", one, lambda folder: (folder / REPORT).is_file() or None)
    return read_judge(out)


@torch.no_grad()
def images(settings: Settings, seed: int) -> dict[str, Tensor]:
    """Means of p(x | codes) of drawn codes and of test images' own, and of p(x | z): by name, (n, D) each."""
    key, n = keys.fold_in(keys.key(31), seed), settings.draws
    prior, vae = (read_run(place(settings.out, name, seed)) for name in (PRIOR, VAE))
    coder = read_codes(place(settings.out, CODES, seed))
    own = [coder.model.codes(coder.params, coder.state, x) for x in coder.images.test.split(1000)]
    decoded = torch.cat([coder.model.decode_codes(coder.params, coder.state, each) for each in own])
    return {DRAWS: drawn(prior, key, n), VAE: drawn(vae, key, n), "test images, decoded": decoded}


def distance(judge: Judge, x: Tensor) -> dict[str, float]:
    """Of the features of images from those of test images."""
    found = frechet(judge.features(x), judge.features(judge.test))
    return {"distance": found.distance.item(), "bias": found.bias.item(), "error": found.error.item()}


def verdict(rows: Sequence[Row]) -> str:
    """The difference of the two ways, and the seconds of each."""
    ours, theirs = ([values(rows, name, column) for column in COLUMNS] for name in (DRAWS, VAE))
    gain = with_error(*mean_and_error([a - b for a, b in zip(ours[0], theirs[0], strict=True)]), form="+.1f")
    longer = sum(theirs[2]) / sum(ours[2])
    holds = all(a < b for a, b in zip(ours[0], theirs[0], strict=True))
    below = "below the VAE's with every seed" if holds else "not below the VAE's with every seed"
    return f"codes and prior: {gain}, {below}; the VAE had {longer:.2f} times their seconds of training"


def drawing(images: Images, pictures: dict[str, Tensor]) -> Figure:
    """Images of each way of the first seed, and of the test."""
    shown = {**pictures, "test images": images.test[:SHOWN]}
    return grid(list(shown.values()), images, list(shown), "Draws, and test images as they are decoded")

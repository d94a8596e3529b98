"""Code digits by an autoencoder, a VAE and five quantisers at equal bits: errors of reconstruction, and codes used.

Claim    at 9 bits a position FSQ uses at least 95 % of its codes, and VQ with restarts has a perplexity of at least
         80 % of them; restarts raise what is used, as does a start at k-means where nothing else moves the vectors;
         196 random vectors have 163 distinct codes of 512 where all codes are as probable, fewer where they are not,
         and never 196
Command  python -m jensen.experiments.claims.codes
"""

if __name__ == "__main__":  # before the imports, in which Ctrl-C is then one line too
    from jensen.experiments.reproduce import launch

    launch(__file__)

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import tyro
from matplotlib.figure import Figure

from jensen.experiments.claims import computed
from jensen.experiments.claims.codebooks import BITS, OF_PATCHES, distinct, patches
from jensen.experiments.claims.compared import Column, Contender, Row, check_seeds, compared, over_seeds, table, values
from jensen.experiments.data.images import ImageData
from jensen.experiments.programs.estimation import Estimation
from jensen.experiments.programs.vae import Vae
from jensen.experiments.programs.vq import Vq
from jensen.experiments.report.drawing import panels, png
from jensen.experiments.run import files
from jensen.experiments.run.command import command
from jensen.experiments.run.errors import InputError
from jensen.experiments.run.optimisers import Optimiser
from jensen.experiments.run.settings import Run

WIDTH = 8  # components of a position's vector
QUANTISERS = {
    "VQ": "vq(512, least=0.3)",
    "VQ by rotation": "vq(512, least=0.3, path=rotation)",
    "VQ without restarts": "vq(512, least=0)",
    "VQ from drawn vectors": "vq(512, least=0.3, start=draw)",
    "VQ with neither": "vq(512, least=0, start=draw)",
    "FSQ": "fsq(8, 8, 8)",
    "LFQ": "lfq(9, commitment=0.05, entropy=0)",
    "residual VQ": "residual-vq(8, 3)",
}
WORTH = (Column("bits", "bits", 1), Column("squared error", "squared_error", 4), Column("training s", "training_s", 0))
USE = (Column("codes used, %", "used", 1), Column("perplexity, %", "evenness", 1))


@dataclass(frozen=True)
class Settings:
    """Compare ways to code images at equal bits, over several seeds."""

    data: Literal["digits", "mnist"] = "digits"
    """As for experiments.train."""
    data_dir: Path | None = None
    """As for experiments.train."""
    out: Path = Path("runs/codes")
    """Folder of a run per way and seed, of rows.jsonl and of a figure; a run that is there is gone on with."""
    seeds: int = 3
    """Runs of each."""
    steps: int = 4500
    """Of training."""
    positions: int = 8
    """Of 9 bits each."""
    hidden: tuple[int, ...] = (400,)
    """Widths of hidden layers, of encoder and decoder."""
    draws: int = 200
    """Of random vectors, whose distinct codes are counted."""
    compile: bool = False
    """Compile the step and the evaluation with torch.compile: it pays for more steps, or larger networks."""

    def check(self) -> None:
        """Raises an InputError for what cannot work."""
        check_seeds(self.seeds)
        if self.positions < 1:
            raise InputError(f"expected --positions of at least 1, got {self.positions}: leave it out for the default")
        if self.draws < 2:
            raise InputError(f"--draws {self.draws}: expected at least 2, one has no standard error")


def main(argv: list[str] | None = None) -> None:
    """The command line."""
    with command("run it again to go on", "--hidden or --positions"):
        settings = tyro.cli(Settings, args=argv, prog="python -m jensen.experiments.claims.codes")
        settings.check()
        rows = measure(settings)
        title = f"{settings.data}, {settings.positions} positions, {settings.seeds} seeds"
        print(table(title, rows, WORTH))
        print(f"\n{table('of test data', of_codes(rows), USE)}\n{verdict(of_codes(rows))}")
        print(f"\n{table('patches of 2 × 2 pixels of digits', patches(settings.seeds), OF_PATCHES)}")
        print(f"\n{computed.table(distinct(settings.draws))}\n\nruns, rows and figure in {settings.out}")


def measure(settings: Settings) -> list[Row]:
    """A row for each way and seed."""
    rows = [completed(row) for row in compared(contenders(settings), settings.seeds, settings.out)]
    files.write_atomically(settings.out / "codes.png", png(drawing(rows)))
    return rows


def contenders(settings: Settings) -> dict[str, Contender]:
    """Those without codes first: an autoencoder, and a VAE whose KL is held at the bits of the codes."""
    nats = BITS * settings.positions * math.log(2)
    return {
        "autoencoder": Contender("vae", lambda seed, out: without_codes("beta(0)", seed, out, settings)),
        "VAE": Contender("vae", lambda seed, out: without_codes(f"capacity(1, {nats:.4f})", seed, out, settings)),
        **{name: with_codes(spelled, settings) for name, spelled in QUANTISERS.items()},
    }


def with_codes(quantiser: str, settings: Settings) -> Contender:
    """An autoencoder of perceptrons around a quantiser."""
    return Contender("vq", lambda seed, out: Vq(
        images=images(settings), quantiser=quantiser, hidden=settings.hidden, positions=settings.positions, width=WIDTH,
        optimiser=Optimiser(lr=3e-3), run=run(seed, out, settings),
    ))  # fmt: skip


def without_codes(objective: str, seed: int, out: Path, settings: Settings) -> Vae:
    """The same perceptrons around as many normal latents as the vectors have components."""
    return Vae(
        images=images(settings), likelihood="squared-error", hidden=settings.hidden, activation="relu",
        latent=WIDTH * settings.positions, estimation=Estimation(objective=objective), evidence_k=2,
        optimiser=Optimiser(lr=3e-3), run=run(seed, out, settings),
    )  # fmt: skip


def images(settings: Settings) -> ImageData:
    return ImageData(data=settings.data, data_dir=settings.data_dir, pixels="grey")


def run(seed: int, out: Path, settings: Settings) -> Run:
    return Run(steps=settings.steps, seed=seed, compile=settings.compile, checkpoint_every=settings.steps, out=out)


def completed(row: Row) -> Row:
    """With the bits and squared error of a model that has no codes, from its terms; shares of codes in per cent.

    At a variance of 1/2 the reconstruction is minus the sum of squared errors, less D log(pi) / 2.
    """
    found = dict(row.numbers)
    if "used" in found:
        return row._replace(numbers={**found, **{name: 100 * found[name] for name in ("used", "evenness")}})
    pixels = found["pixels"]
    error = -found["reconstruction"] / pixels - math.log(math.pi) / 2
    return row._replace(numbers={**found, "bits": found["kl"] / math.log(2), "squared_error": error})


def of_codes(rows: Sequence[Row]) -> list[Row]:
    return [row for row in rows if "used" in row.numbers]


def verdict(rows: Sequence[Row]) -> str:
    """The bars, and what k-means and restarts are worth, by seed."""
    used, evenness = USE

    def shown(name: str, column: Column, least: float) -> str:
        mean, error = over_seeds(values(rows, name, column))
        return f"{name}: {column.head} {mean:.1f} ± {error:.1f}, {'at' if mean >= least else 'not at'} least {least:g}"

    def gain(what: str, one: str, other: str) -> str:
        pairs = zip(values(rows, one, evenness), values(rows, other, evenness), strict=True)
        mean, error = over_seeds([a - b for a, b in pairs])
        return f"{what}: {mean:+.1f} ± {error:.1f} of perplexity, %"

    return "\n".join([
        shown("FSQ", used, 95), shown("VQ", evenness, 80),
        gain("restarts, from k-means", "VQ", "VQ without restarts"),
        gain("restarts, from drawn vectors", "VQ from drawn vectors", "VQ with neither"),
        gain("k-means, with restarts", "VQ", "VQ from drawn vectors"),
        gain("k-means, without restarts", "VQ without restarts", "VQ with neither"),
    ])  # fmt: skip


def drawing(rows: Sequence[Row]) -> Figure:
    """The squared error of each way, and the codes that are used: a point for each seed."""
    figure, axes = panels(1, 2, 10, 3.8)
    for axis, column, shown in ((axes[0, 0], WORTH[1], rows), (axes[0, 1], USE[1], of_codes(rows))):
        names = list(dict.fromkeys(row.name for row in shown))
        for row in shown:
            axis.plot(row.numbers[column.number], names.index(row.name), "o", color=f"C{row.seed % 10}", markersize=4)
        axis.set_yticks(range(len(names)), names)
        axis.invert_yaxis()
        axis.grid(alpha=0.25)
        axis.set_xlabel(f"{column.head}, test data")
    axes[0, 0].set_title("Error by way, a colour for each seed")
    axes[0, 1].set_title("How evenly codes are used")
    return figure

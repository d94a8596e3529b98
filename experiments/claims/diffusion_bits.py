"""Train diffusions of images by several losses and networks, and compare the bits per pixel that their bounds reach.

Claim    at one number of steps a perceptron that predicts the noise of digits needs more bits than independent pixels,
         by the simplified loss and by the bound; one that chooses each pixel's shade does not, and as a variational
         diffusion, in continuous time, it needs no more than a VAE (Kingma et al., 2021)
Command  python -m jensen.experiments.claims.diffusion_bits
"""

if __name__ == "__main__":  # before the imports, in which Ctrl-C is then one line too
    from jensen.experiments.reproduce import launch

    launch(__file__)

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import tyro

from jensen.experiments.claims.checked import check_at_least
from jensen.experiments.claims.compared import Column, Contender, Row, check_seeds, over_seeds, place, table, values
from jensen.experiments.data.images import ImageData
from jensen.experiments.data.points import PointData
from jensen.experiments.programs import Diffusion, Vae, Vdm
from jensen.experiments.run import files
from jensen.experiments.run.command import command
from jensen.experiments.run.errors import InputError
from jensen.experiments.run.kept import findings, finished, training_seconds
from jensen.experiments.run.optimisers import Optimiser
from jensen.experiments.run.settings import Run

BITS = Column("bits/dim at most", "bits", 3)
COLUMNS = (BITS, Column("Wasserstein", "wasserstein"), Column("seconds", "training_s", 0))
NOTE = "Bounds on the bits of a pixel of 17 shades; independent pixels have {floor:.2f}. The distance is of draws."


@dataclass(frozen=True)
class Settings:
    """Compare losses and networks of diffusions of digits, over several seeds."""

    out: Path = Path("runs/diffusion-bits")
    """Folder of a run per contender and seed, and of rows.jsonl; a run that is there is gone on with."""
    seeds: int = 2
    """Runs of each."""
    steps: int = 2500
    """Of the optimiser."""
    hidden: tuple[int, ...] = (128, 128, 128)
    """Widths of hidden layers."""
    noise_steps: int = 100
    """Steps of the diffusions that have steps."""
    compile: bool = False
    """Compile the step with torch.compile, which takes as long as a thousand of these."""

    def check(self) -> None:
        """Raises an InputError for what cannot work."""
        check_seeds(self.seeds)
        check_at_least(self, noise_steps=2)


def main(argv: list[str] | None = None) -> None:
    """The command line."""
    with command("run it again to go on", "--hidden"):
        settings = tyro.cli(Settings, args=argv, prog="python -m jensen.experiments.claims.diffusion_bits")
        settings.check()
        rows = measure(settings)
        print(table(f"digits, {settings.steps} steps, {settings.seeds} seeds", rows, COLUMNS))
        floor = next(row.numbers["independent"] for row in rows if "independent" in row.numbers)
        print(f"\n{verdict(rows)}\n{NOTE.format(floor=floor)}\nruns and rows in {settings.out}")


def measure(settings: Settings) -> list[Row]:
    """A row per contender and seed."""
    each = {
        (name, seed): (one.kind, one.settings(seed, place(settings.out, name, seed)))
        for seed in range(settings.seeds)
        for name, one in contenders(settings).items()
    }
    for _, one in each.values():
        one.check()
    files.make(settings.out)
    rows = [Row(name, seed, finished(kind, one, outcome)) for (name, seed), (kind, one) in each.items()]
    files.write_rows(settings.out / "rows.jsonl", [{"name": r.name, "seed": r.seed, **r.numbers} for r in rows])
    return rows


def contenders(settings: Settings) -> Mapping[str, Contender]:
    """By name, of one number of steps and one perceptron but for its last layer."""
    points, hidden = PointData(data="digits"), settings.hidden

    def run(seed: int, out: Path) -> Run:
        steps, compile = settings.steps, settings.compile
        return Run(
            steps=steps, batch=128, average=0.995, lr_final=0.01, checkpoint_every=steps, seed=seed, compile=compile,
            out=out,
        )  # fmt: skip

    def chain(**own: Any) -> Contender:
        def of(seed: int, out: Path) -> Diffusion:
            return Diffusion(points=points, hidden=hidden, noise_steps=settings.noise_steps, run=run(seed, out), **own)

        return Contender("diffusion", of)

    def vdm(seed: int, out: Path) -> Vdm:
        return Vdm(points=points, hidden=hidden, run=run(seed, out))

    def vae(seed: int, out: Path) -> Vae:
        images = ImageData(data="digits", pixels="grey")
        return Vae(
            images=images, likelihood="discretised-logistic", hidden=hidden, evidence_k=200,
            optimiser=Optimiser(lr=2e-3), run=run(seed, out),
        )  # fmt: skip

    return {
        "DDPM": chain(),
        "DDPM by the bound": chain(weighting="bound"),
        "shades": chain(network="choices"),
        "shades by min-SNR": chain(network="choices", weighting="min-snr"),
        "shades by the bound": chain(network="choices", weighting="bound"),
        "shades and small variances": chain(network="choices", weighting="bound", variance="small"),
        "VDM": Contender("vdm", vdm),
        "VAE": Contender("vae", vae),
    }


def outcome(folder: Path) -> dict[str, float] | None:
    """Bits of a pixel, the distance of draws where there is one, and seconds; None of a run that has not finished."""
    try:
        found = findings(folder)
        seconds = training_seconds(folder)
        if "test" in found:
            return {"bits": -found["test"][0]["elbo"] / 64 / math.log(2), "training_s": seconds}
        bits, independent = (row["mean"] for row in found["bits"])
        distance = found["points"][0]["value"]
        return {"bits": bits, "independent": independent, "wasserstein": distance, "training_s": seconds}
    except (InputError, TypeError, KeyError, ValueError):
        return None


def verdict(rows: Sequence[Row]) -> str:
    """The contenders from few bits to many."""
    means = {name: over_seeds(values(rows, name, BITS))[0] for name in dict.fromkeys(row.name for row in rows)}
    return "from few bits to many: " + "; ".join(name for name in sorted(means, key=means.__getitem__))

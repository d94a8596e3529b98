"""Rate and distortion of VAEs by the KL's weight β to its ends, and Shannon's curve of a Gaussian source below them.

Claim    the rate falls and the distortion rises with β, from an autoencoder's at β near 0 to rate 0 at a large one,
         where every image is decoded to the mean image, whose distortion is the largest; a linear VAE of a Gaussian
         source stays above Shannon's R(D) = Σ max(0, ½ log(λ_i / D_i)) at every step and ends on it
Command  python -m jensen.experiments.claims.rate_distortion
"""

if __name__ == "__main__":  # before the imports, in which Ctrl-C is then one line too
    from jensen.experiments.reproduce import launch

    launch(__file__)

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, NamedTuple

import torch
import tyro
from matplotlib.figure import Figure

from jensen.core import keys
from jensen.experiments import report
from jensen.experiments.claims import computed, gaussian_source
from jensen.experiments.claims.checked import check_at_least
from jensen.experiments.claims.computed import Row
from jensen.experiments.claims.gaussian_source import DTYPE, Reached, Source, at_level
from jensen.experiments.claims.trained import judged, trained
from jensen.experiments.data.images import ImageData
from jensen.experiments.programs.estimation import Estimation
from jensen.experiments.programs.finished import read_finished
from jensen.experiments.programs.vae import Vae
from jensen.experiments.report.drawing import line, panels, png
from jensen.experiments.report.images import expected
from jensen.experiments.report.rate_distortion import Point
from jensen.experiments.run import files
from jensen.experiments.run.command import command
from jensen.experiments.run.errors import InputError
from jensen.experiments.run.settings import Run

SOURCE = 4 * 0.5 ** torch.arange(8, dtype=DTYPE)  # variances λ of the Gaussian source
KEY = keys.key(31)


@dataclass(frozen=True)
class Settings:
    """Train VAEs of images at several KL weights, and linear ones of a Gaussian source: tables, figures, JSON lines."""

    data: Literal["digits", "mnist", "mnist-static"] = "digits"
    """As for experiments.train."""
    data_dir: Path | None = None
    """As for experiments.train."""
    out: Path = Path("runs/rate-distortion")
    """Folder of a run per β, of rows.jsonl and of the figures; a run that is there is gone on with."""
    betas: tuple[float, ...] = (0.25, 0.5, 1.0, 2.0, 4.0, 10.0)
    """KL weights, of images and of the Gaussian source."""
    ends: tuple[float, float] = (0.01, 100.0)
    """Weights below and above all of these, of images alone: an autoencoder, and a code that says nothing."""
    steps: int = 3000
    """Of each VAE of images."""
    latent: int = 16
    """Their latent dimensions."""
    hidden: tuple[int, ...] = (200, 200)
    """Their hidden layers."""
    source_steps: int = 3000
    """Of the linear VAEs, which are trained side by side."""
    compile: bool = False
    """Compile the step and the evaluation of images with torch.compile."""

    def check(self) -> None:
        """Raises an InputError for what cannot work."""
        low, high = self.ends
        if not self.betas or not 0 < low < min(self.betas) or not max(self.betas) < high:
            raise InputError(f"--ends {low:g} {high:g}: expected positive weights, below and above all of --betas")
        check_at_least(self, source_steps=1)

    @property
    def weights(self) -> list[float]:
        """All of images, in rising order."""
        return [self.ends[0], *sorted(set(self.betas)), self.ends[1]]


class Measured(NamedTuple):
    """A VAE of images on test data, in nats per datum, beside the model of independent pixels."""

    point: Point
    floor: float  # distortion of the training data's mean image
    from_mean: float  # root mean square over pixels and draws from the prior, of decoded images less the mean image


def main(argv: list[str] | None = None) -> None:
    """The command line."""
    with command("run it again to go on", "--hidden or --latent"):
        settings = tyro.cli(Settings, args=argv, prog="python -m jensen.experiments.claims.rate_distortion")
        settings.check()
        images, figures = run(settings)
        print(report.rate_distortion([each.point for each in images]).summary)
        print(computed.table(figures))
        print(f"\nruns, rows and figures in {settings.out}")


def run(settings: Settings) -> tuple[list[Measured], list[Row]]:
    """A row per weight of images, and what is exact of them and of the linear VAEs; leaves rows and figures."""
    each = {beta: options(beta, settings) for beta in settings.weights}
    for one in each.values():
        one.check()
    files.make(settings.out)
    images = [measure(beta, one) for beta, one in each.items()]
    source = Source.random(SOURCE, keys.fold_in(KEY, 0))
    ways = gaussian_source.train(
        source, settings.betas, len(SOURCE), settings.source_steps, 100, 0.02, keys.fold_in(KEY, 1)
    )
    of_images = report.rate_distortion([each.point for each in images]).figure
    for name, figure in {"images": of_images, "gaussian-source": draw(ways)}.items():
        assert figure is not None
        files.write_atomically(settings.out / f"{name}.png", png(figure))
    rows = exact(images, ways, settings)
    held = [{**row._asdict(), "holds": row.holds} for row in rows]
    points = [{**each.point._asdict(), "floor": each.floor, "from_mean": each.from_mean} for each in images]
    files.write_rows(settings.out / "rows.jsonl", [*points, *(row._asdict() for row in ways), *held])
    return images, rows


def options(beta: float, settings: Settings) -> Vae:
    """The run of a KL weight."""
    return Vae(
        images=ImageData(data=settings.data, data_dir=settings.data_dir),
        hidden=settings.hidden,
        latent=settings.latent,
        estimation=Estimation(objective=f"beta({beta:g})"),
        evidence_k=100,
        run=Run(steps=settings.steps, compile=settings.compile, checkpoint_every=settings.steps,
                out=settings.out / f"beta-{beta:g}"),
    )  # fmt: skip


@torch.no_grad()
def measure(beta: float, one: Vae) -> Measured:
    """The run of a weight, trained where it has not been."""
    trained("vae", one)
    folder = one.run.out
    assert folder is not None
    test, done = judged(folder), read_finished(folder)
    prior = done.model.prior(done.params, 1)
    decoded = expected(done.model, done.params, prior.sample(prior.noise(KEY, 100)))
    from_mean = (decoded - done.images.train.mean(0)).square().mean().sqrt().item()
    point = Point(beta, one.estimation.objective, test["kl"], -test["reconstruction"], folder.name)
    return Measured(point, test["floor"], from_mean)


def exact(images: Sequence[Measured], ways: Sequence[Reached], settings: Settings) -> list[Row]:
    """The ends of the images' curve, and the linear VAEs beside Shannon's curve."""
    points, last = [each.point for each in images], images[-1]
    part = f"{settings.data}: no rate at β = {settings.ends[1]:g}"
    found = [
        Row(part, "rate, nats", last.point.rate, 0.05, relation="≤"),
        Row(part, "distortion, and the mean image's, to 1 %", last.point.distortion, last.floor, relation="≈",
            digits=0.01),
        Row(part, "decoded images less the mean image, rms", last.from_mean, 0.05, relation="≤"),
        Row(f"{settings.data}: ends", "least distortion of all, at the least β", points[0].distortion,
            min(point.distortion for point in points), relation="≤"),
        Row(f"{settings.data}: ends", "largest distortion, and the mean image's, to 1 %",
            max(point.distortion for point in points), last.floor, relation="≤", digits=0.01),
    ]  # fmt: skip
    part = "Gaussian source: linear VAEs"
    most = max(row.least - row.rate for row in ways)
    found.append(Row(part, "Shannon's R(D) less the rate, at any step, nats", most, 0.0, relation="≤"))
    for row in ends(ways):
        rate, distortion = at_level(SOURCE, row.beta)
        best = distortion / 2 + row.beta * rate
        name = f"β = {row.beta:g}: D / 2 + β R, and the least, to 1 %"
        found.append(Row(part, name, row.distortion / 2 + row.beta * row.rate, best, relation="≈", digits=0.01))
    return found


def ends(ways: Sequence[Reached]) -> list[Reached]:
    """The last of each weight."""
    final = max(row.step for row in ways)
    return [row for row in ways if row.step == final]


def draw(ways: Sequence[Reached]) -> Figure:
    """Shannon's curve of the source, the ways of linear VAEs to it, and how far above it they are by step."""
    figure, (axes,) = panels(1, 2, 10, 4.2)
    levels = torch.logspace(-1.2, torch.log10(SOURCE.max()).item(), 200, dtype=DTYPE).tolist()
    curve = [at_level(SOURCE, level) for level in levels]
    axes[0].plot([d for _, d in curve], [r for r, _ in curve], color="black", linewidth=1, label="Shannon's R(D)")
    for style, beta in enumerate(dict.fromkeys(row.beta for row in ways)):
        way = [row for row in ways if row.beta == beta]
        place = [row.distortion for row in way[1:]], [row.rate for row in way[1:]]  # the start is far outside
        line(axes[0], *place, f"β = {beta:g}", style, linewidth=0.6)
        line(axes[1], [row.step for row in way], [row.rate - row.least for row in way], f"β = {beta:g}", style)
    axes[0].set(
        xlabel="distortion: E |x − x̂|²", ylabel="rate, nats", xlim=(0, 1.3 * SOURCE.sum().item()), ylim=(-0.1, 9)
    )
    axes[0].legend(frameon=False, fontsize=8)
    axes[1].set(xlabel="step", ylabel="rate less R(D), nats", yscale="log", title="linear VAEs of a Gaussian source")
    axes[1].grid(alpha=0.25)
    return figure

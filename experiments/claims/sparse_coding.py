"""Train a Poisson VAE with a linear decoder on whitened patches: sparse coding whose counts an encoder infers.

Claim    its dictionary is one of localised, oriented filters: a Gabor function explains more than 0.6 of the variance
         of at least half of them, and of few of the patches' principal axes; most rates are below 0.1; and the loss
         that is trained without samples is the mean of the sampled one (Vafaii et al., 2024; Olshausen and Field, 1996)
Command  python -m jensen.experiments.claims.sparse_coding
"""

if __name__ == "__main__":  # before the imports, in which Ctrl-C is then one line too
    from jensen.experiments.reproduce import launch

    launch(__file__)

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import torch
import tyro
from matplotlib.figure import Figure
from torch import Tensor

from jensen.core import keys
from jensen.core.models.latent.poisson import PoissonVAE
from jensen.core.trees import Params
from jensen.experiments.claims.trained import Trained, trained
from jensen.experiments.programs.finished import Finished, read_finished
from jensen.experiments.programs.poisson import Poisson
from jensen.experiments.report import gabor
from jensen.experiments.report.drawing import panels, png
from jensen.experiments.report.sparse import SMALL, dictionary
from jensen.experiments.run import files
from jensen.experiments.run.command import command
from jensen.experiments.run.errors import InputError
from jensen.experiments.run.settings import Run

FITS = 0.6  # of a filter's variance, explained by a Gabor function
BAR = 0.5  # the share of filters that must
KEY = keys.key(23)


@dataclass(frozen=True)
class Settings:
    """Train a Poisson VAE on white patches, and say what its dictionary is of."""

    out: Path = Path("runs/sparse-coding")
    """Folder of the run, of rows.jsonl and of figures; a run that is there is gone on with."""
    latent: int = 144
    """Units."""
    epochs: int = 25
    """Of 20,000 patches."""
    draws: int = 2000
    """Of counts, for the sampled loss."""
    patches: int = 50
    """Test patches that the two losses are compared on."""
    compile: bool = True
    """Compile the step with torch.compile."""

    def check(self) -> None:
        """Raises an InputError for what cannot work."""
        for name, low in {"latent": 1, "epochs": 1, "draws": 2, "patches": 2}.items():
            if getattr(self, name) < low:
                raise InputError(f"expected --{name} of at least {low}, got {getattr(self, name)}")


class Row(NamedTuple):
    """A figure, with a standard error where it is one of draws, and what it must be at least or near."""

    name: str
    value: float
    error: float | None = None
    beside: float | None = None


def main(argv: list[str] | None = None) -> None:
    """The command line."""
    with command("run it again to go on", "--latent or --epochs"):
        settings = tyro.cli(Settings, args=argv, prog="python -m jensen.experiments.claims.sparse_coding")
        settings.check()
        rows = run(settings)
        print(table(rows))
        print(f"\nrun, rows and figures in {settings.out}")


def run(settings: Settings) -> list[Row]:
    """Every figure, from the run in settings.out/run."""
    files.make(settings.out)
    options = Poisson(latent=settings.latent, run=Run(epochs=settings.epochs, compile=settings.compile,
                      out=settings.out / "run"))  # fmt: skip
    options.check()
    outcome, done = trained("poisson", options), read_finished(settings.out / "run")
    model = options.model(done.images)
    found = rows(outcome, done, model, settings)
    use = model.posterior(done.params, done.images.test).rate.mean(0)
    atoms, axes = model.dictionary(done.params), principal_axes(done.images.train)[: settings.latent]
    fits = [gabor.fitted(filters, done.images.shape).r_squared for filters in (atoms, axes)]
    found += of_fits("dictionary", fits[0]) + of_fits("principal axes", fits[1])
    drawn = {
        "dictionary": dictionary(atoms[use.argsort(descending=True)], done.images),
        "gabor": histogram(*fits),
    }
    for name, figure in drawn.items():
        files.write_atomically(settings.out / f"{name}.png", png(figure))
    files.write_rows(settings.out / "rows.jsonl", [row._asdict() for row in found])
    return found


@torch.no_grad()
def rows(outcome: Trained, done: Finished, model: PoissonVAE, settings: Settings) -> list[Row]:
    """What the run came to, how sparse its counts are, and the two losses of the first test patches."""
    x, images = done.images.test[: settings.patches], done.images
    floor = -model.independent(images.train).log_prob(images.test).mean().item()
    sampled = reconstructions(model, done.params, x, settings.draws).mean(1)
    return [
        Row("−ELBO, nats per patch, beside independent pixels", -outcome.elbo, beside=floor),
        Row("seconds of training", outcome.training_s),
        Row(f"rates below {SMALL:g}, share",
            (model.posterior(done.params, images.test).rate < SMALL).double().mean().item()),
        Row("sampled −E log p(x | z), beside the exact one", -sampled.mean().item(),
            sampled.std().item() / len(sampled) ** 0.5, -model.reconstruction(done.params, x).mean().item()),
    ]  # fmt: skip


def reconstructions(model: PoissonVAE, params: Params, x: Tensor, draws: int) -> Tensor:
    """log p(x | z) of so many counts, (draws, n)."""
    q = model.posterior(params, x)
    return model.likelihood(params, q.sample(q.noise(KEY, draws)).to(x.dtype)).log_prob(x).double()


def principal_axes(x: Tensor) -> Tensor:
    """Of data (n, D), those of the largest variances first."""
    return torch.linalg.svd(x - x.mean(0), full_matrices=False).Vh


def of_fits(name: str, r_squared: Tensor) -> list[Row]:
    """The median fit of a Gabor function, and the share of those that fit."""
    bar = BAR if name == "dictionary" else None
    return [
        Row(f"{name}: median R² of a Gabor function", r_squared.median().item()),
        Row(f"{name}: share of R² above {FITS:g}", (r_squared > FITS).double().mean().item(), beside=bar),
    ]


def table(found: Sequence[Row]) -> str:
    """A line each, with what a figure is to be held beside."""
    lines = []
    for row in found:
        error = "" if row.error is None else f" ± {row.error:.3f}"
        lines.append(f"{row.name:<52}{row.value:>10.3f}{error:<12}{'' if row.beside is None else f'{row.beside:.3f}'}")
    return "\n".join(lines)


def histogram(atoms: Tensor, axes: Tensor) -> Figure:
    """How well Gabor functions fit the dictionary's atoms, and principal axes."""
    figure, panel = panels(1, 1, 5, 3.2)
    axis = panel[0, 0]
    bins = torch.linspace(0, 1, 26).tolist()
    axis.hist([atoms.clamp(0, 1).tolist(), axes.clamp(0, 1).tolist()], bins, label=["dictionary", "principal axes"])
    axis.axvline(FITS, color="black", linewidth=1)
    axis.set(xlabel="R² of a Gabor function", ylabel="filters")
    axis.legend(frameon=False, fontsize=8)
    return figure

"""Train a classifier on digits of which one class is rare, with and without images of it that a VAE generates.

Claim    generated images between those of the rare class raise its recall well over what copies of its few images do,
         which are the floor, and the balanced accuracy over the few images alone; over copies that gains little, for
         others are taken for the rare digit more often
Command  python -m jensen.experiments.claims.augmentation
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
from jensen.core.contracts import Key
from jensen.core.trees import Tree
from jensen.experiments.claims.checked import check_at_least
from jensen.experiments.claims.computed import mean_and_error, with_error
from jensen.experiments.claims.fitted import fitted_classifier, fitted_vae
from jensen.experiments.data import labelled
from jensen.experiments.data.pixels import binarise
from jensen.experiments.report.drawing import line, panels, png
from jensen.experiments.report.images import expected
from jensen.experiments.run import files
from jensen.experiments.run.command import command
from jensen.experiments.run.errors import InputError

ALONE, COPIES, GENERATED = "few images alone", "copies of them", "generated images"
CLASSES = 10


@dataclass(frozen=True)
class Settings:
    """Make a class rare, and fill it up: a table, a figure and JSON lines."""

    out: Path = Path("runs/augmentation")
    """Folder of rows.jsonl and augmentation.png; what it holds of these is replaced."""
    seeds: int = 10
    """Of the chosen images and all else that is random; the rare digit of seed i is i modulo 10."""
    each: int = 100
    """Training images of every other digit, and of the rare one after it is filled up."""
    rare: int = 10
    """Training images of the rare digit."""
    hidden: int = 200
    """Units of each hidden layer, of the VAE and of the classifier."""
    latent: int = 10
    """Latent dimensions."""
    steps: int = 1000
    """Of training, of each VAE and classifier."""

    def check(self) -> None:
        """Raises an InputError for what cannot work."""
        check_at_least(self, seeds=2, rare=2, hidden=1, latent=1, steps=1)
        if self.each <= self.rare:
            raise InputError(f"expected --each above --rare {self.rare}, got {self.each}: else no class is rare")


class Accuracy(NamedTuple):
    """Of one classifier on test digits."""

    seed: int
    digit: int  # the rare one
    training: str
    balanced: float  # the mean over classes of the share that is classified right
    recall: float  # that share of the rare digit


class Gain(NamedTuple):
    """Of generated images over another way, by seed: the mean and its standard error."""

    over: str
    what: str
    mean: float
    error: float


def main(argv: list[str] | None = None) -> None:
    """The command line."""
    with command("run it again", "--each or --hidden"):
        settings = tyro.cli(Settings, args=argv, prog="python -m jensen.experiments.claims.augmentation")
        settings.check()
        print(table(*run(settings), settings))
        print(f"\nrows and figure in {settings.out}")


def run(settings: Settings) -> tuple[list[Accuracy], list[Gain]]:
    """A row per seed and training set, and what generated images gain; leaves rows and the figure in the folder."""
    files.make(settings.out)
    rows = [row for seed in range(settings.seeds) for row in measure(seed, settings)]
    gains = [gain(rows, over, what) for over in (ALONE, COPIES) for what in ("balanced", "recall")]
    files.write_atomically(settings.out / "augmentation.png", png(draw_figure(rows)))
    files.write_rows(settings.out / "rows.jsonl", [row._asdict() for row in (*rows, *gains)])
    return rows, gains


def measure(seed: int, settings: Settings) -> list[Accuracy]:
    """One classifier by each training set, all started alike."""
    data, digit = labelled.digits(), seed % CLASSES
    choice, copy_key, generate_key, fit_key = keys.split(keys.key(seed), 4)
    train = imbalanced(labelled.few(choice, data.train, settings.each), digit, settings.rare)
    scarce, count = train["x"][train["labels"] == digit], settings.each - settings.rare
    added = {
        ALONE: scarce[:0],
        COPIES: scarce[keys.bits(copy_key, (count,)) % len(scarce)],
        GENERATED: generated(train["x"], scarce, count, settings, generate_key),
    }
    rows = []
    for name, x in added.items():
        labels = torch.full((len(x),), digit)
        filled = {"x": torch.cat([train["x"], x]), "labels": torch.cat([train["labels"], labels])}
        model, params = fitted_classifier(filled, settings.hidden, settings.steps, fit_key)
        recalls = recall(model.logits(params, data.test["x"]).argmax(-1), data.test["labels"])
        rows.append(Accuracy(seed, digit, name, recalls.mean().item(), recalls[digit].item()))
    return rows


def imbalanced(data: Tree, digit: int, rare: int) -> Tree:
    """All data but those of the digit after its first few."""
    mine = (data["labels"] == digit).nonzero()[:, 0]
    kept = torch.ones(len(data["labels"]), dtype=torch.bool)
    kept[mine[rare:]] = False
    return {name: leaf[kept] for name, leaf in data.items()}


def generated(x: Tensor, scarce: Tensor, count: int, settings: Settings, key: Key) -> Tensor:
    """Decoded means of random places between posterior draws of two scarce images, by a VAE of all images x."""
    fit_key, pixels, noise, pair_key, place_key = keys.split(key, 5)
    model, params = fitted_vae(x, settings.hidden, settings.latent, settings.steps, fit_key)
    one, other = keys.bits(pair_key, (2, count)) % len(scarce)
    place = keys.uniform(place_key, (count, 1))
    with torch.no_grad():
        q = model.posterior(params, binarise(pixels, torch.cat([scarce[one], scarce[other]])))
        start, end = q.sample(q.noise(noise, 1))[0].chunk(2)
        return expected(model, params, torch.lerp(start, end, place)[None])[0]


def recall(found: Tensor, labels: Tensor) -> Tensor:
    """The share of each class that is found, (classes,)."""
    right = (found == labels).double()
    return torch.stack([right[labels == label].mean() for label in range(CLASSES)])


def gain(rows: Sequence[Accuracy], over: str, what: str) -> Gain:
    """Of generated images, by seed."""
    by = {(row.seed, row.training): getattr(row, what) for row in rows}
    gains = [by[seed, GENERATED] - by[seed, over] for seed in sorted({row.seed for row in rows})]
    return Gain(over, what, *mean_and_error(gains))


def table(rows: Sequence[Accuracy], gains: Sequence[Gain], settings: Settings) -> str:
    """Means over seeds by training set, and the gains."""
    head = f"{settings.rare} images of one digit, {settings.each} of others"
    lines = [f"{head:<44}{'balanced accuracy':>20}{'recall of the rare digit':>26}"]
    for name in dict.fromkeys(row.training for row in rows):
        here = [row for row in rows if row.training == name]
        balanced, rare = (sum(each) / len(here) for each in zip(*((r.balanced, r.recall) for r in here), strict=True))
        lines.append(f"  {name:<42}{balanced:>20.2%}{rare:>26.2%}")
    for each in gains:
        of = {"balanced": "balanced accuracy", "recall": "recall"}[each.what]
        lines.append(f"{GENERATED} over {each.over}: {of} {with_error(each.mean, each.error, '+.2%')}")
    return "\n".join(lines)


def draw_figure(rows: Sequence[Accuracy]) -> Figure:
    """Balanced accuracy and the rare digit's recall by seed, a line per training set."""
    figure, (axes,) = panels(1, 2, 9, 3.6)
    for style, name in enumerate(dict.fromkeys(row.training for row in rows)):
        here = [row for row in rows if row.training == name]
        for axis, what in zip(axes, ("balanced", "recall"), strict=True):
            line(axis, [row.seed for row in here], [getattr(row, what) for row in here], name, style, linestyle="none")
    axes[0].set(xlabel="seed, and rare digit", ylabel="balanced accuracy")
    axes[1].set(xlabel="seed, and rare digit", ylabel="recall of the rare digit")
    axes[0].legend(frameon=False, fontsize=8)
    return figure

"""Walk from one digit to another by a VAE's latents, and by mixing pixels.

Claim    half way between two posterior means a decoded image is more probable, to another VAE, than a mixture of the
         same two images' pixels; a classifier is less sure of either than of their ends, and of the mixture least
Command  python -m jensen.experiments.claims.interpolation
"""

if __name__ == "__main__":  # before the imports, in which Ctrl-C is then one line too
    from jensen.experiments.reproduce import launch

    launch(__file__)

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import NamedTuple

import torch
import tyro
from einops import rearrange
from matplotlib.figure import Figure
from torch import Tensor

from jensen.core import keys
from jensen.core.contracts import Key
from jensen.core.models.classifier import Classifier
from jensen.core.models.latent.vae import VAE
from jensen.core.trees import Params
from jensen.estimators.evidence import draw
from jensen.experiments.claims.checked import check_at_least, check_seed
from jensen.experiments.claims.computed import mean_and_error, with_error
from jensen.experiments.claims.fitted import fitted_classifier, fitted_vae
from jensen.experiments.data.labelled import digits
from jensen.experiments.data.pixels import binarise
from jensen.experiments.report.chunks import posterior_means
from jensen.experiments.report.drawing import line, panels, png
from jensen.experiments.report.images import expected
from jensen.experiments.run import files
from jensen.experiments.run.command import command
from jensen.experiments.run.errors import InputError

LATENTS, PIXELS = "latents", "pixels"
SHOWN = 5  # pairs in the figure
DRAWS = 50  # of the other VAE's bound, each of pixels of its own


@dataclass(frozen=True)
class Settings:
    """Interpolate between test images of different digits: a table, figures and JSON lines."""

    out: Path = Path("runs/interpolation")
    """Folder of rows.jsonl and the figures; what it holds of these is replaced."""
    pairs: int = 150
    """Of test images with different labels, no image in two of them."""
    points: int = 11
    """Of each path, an odd number, so that one lies half way."""
    hidden: int = 200
    """Units of each hidden layer, of the VAEs and of the classifier."""
    latent: int = 10
    """Latent dimensions."""
    steps: int = 2000
    """Of training, of the two VAEs and of the classifier."""
    seed: int = 0
    """Everything random follows from it."""

    def check(self) -> None:
        """Raises an InputError for what cannot work."""
        check_at_least(self, pairs=2, points=3, hidden=1, latent=1, steps=1)
        if self.points % 2 == 0:
            raise InputError(f"expected --points of an odd number, got {self.points}: one lies half way")
        check_seed(self.seed)


class Step(NamedTuple):
    """Images at one place of the paths, means over pairs, with standard errors over them."""

    path: str
    place: float  # 0 at one image, 1 at the other
    confidence: float  # the classifier's largest probability
    confidence_error: float
    elbo: float  # of another VAE, of binarised pixels, in nats
    elbo_error: float


class Gain(NamedTuple):
    """Half way: latents less pixels, the mean over pairs and its standard error."""

    what: str
    mean: float
    error: float


def main(argv: list[str] | None = None) -> None:
    """The command line."""
    with command("run it again", "--pairs or --hidden"):
        settings = tyro.cli(Settings, args=argv, prog="python -m jensen.experiments.claims.interpolation")
        settings.check()
        print(table(*run(settings), settings))
        print(f"\nrows and figures in {settings.out}")


def run(settings: Settings) -> tuple[list[Step], list[Gain]]:
    """A row per path and place, and what latents gain half way; leaves rows and figures in the folder."""
    data, key = digits(), keys.key(settings.seed)
    pair_key, own_key, other_key, classifier_key, judge_key, pixel_key = keys.split(key, 6)
    first, second = pairs(data.test["labels"], settings.pairs, pair_key)
    files.make(settings.out)
    sizes = (settings.hidden, settings.latent, settings.steps)
    model, params = fitted_vae(data.train["x"], *sizes, own_key)
    with torch.no_grad():
        loc = posterior_means(model, params, binarise(pixel_key, data.test["x"]))
        z = between(loc[first], loc[second], settings.points)
        decoded = expected(model, params, z)
    paths = {LATENTS: decoded, PIXELS: between(decoded[0], decoded[-1], settings.points)}
    other, classifier = (
        fitted_vae(data.train["x"], *sizes, other_key),
        fitted_classifier(data.train, settings.hidden, settings.steps, classifier_key),
    )
    judged = {name: judge(x, other, classifier, judge_key) for name, x in paths.items()}
    rows = [step for name, each in judged.items() for step in steps(name, *each)]
    gains = [
        gain(what, *(judged[name][i] for name in (LATENTS, PIXELS))) for i, what in enumerate(("confidence", "ELBO"))
    ]
    for name, figure in {"paths": draw_paths(paths), "along": draw_steps(rows)}.items():
        files.write_atomically(settings.out / f"{name}.png", png(figure))
    files.write_rows(settings.out / "rows.jsonl", [row._asdict() for row in (*rows, *gains)])
    return rows, gains


def pairs(labels: Tensor, count: int, key: Key) -> tuple[Tensor, Tensor]:
    """Indices of so many random pairs whose labels differ, (count,) each, and no datum in two of them.

    InputError where there are not as many.
    """
    one, other = keys.permutation(key, len(labels))[: len(labels) // 2 * 2].chunk(2)
    differ = (labels[one] != labels[other]).nonzero()[:, 0]
    if len(differ) < count:
        raise InputError(f"--pairs {count} exceeds the {len(differ)} pairs of different digits: ask for fewer")
    return one[differ[:count]], other[differ[:count]]


def between(start: Tensor, end: Tensor, points: int) -> Tensor:
    """(points, *start.shape): straight from start to end."""
    place = torch.linspace(0, 1, points)
    return torch.stack([torch.lerp(start, end, t) for t in place.tolist()])


@torch.no_grad()
def judge(
    x: Tensor, other: tuple[VAE, Params], classifier: tuple[Classifier, Params], key: Key
) -> tuple[Tensor, Tensor]:
    """(points, pairs) each, of images (points, pairs, D): the largest class probability, and the other VAE's ELBO."""
    flat = rearrange(x, "t n d -> (t n) d")
    (judge_of_classes, weights), (model, params) = classifier, other
    confidence = judge_of_classes.logits(weights, flat).softmax(-1).max(-1).values
    bounds = []
    for each in keys.split(key, DRAWS):
        pixels, noise = keys.split(each)
        binary = binarise(pixels, flat)
        bounds.append(draw(partial(model.log_joint, params, binary), model.posterior(params, binary), 1, noise)[0])
    elbo = torch.stack(bounds).mean(0)
    return confidence.reshape(x.shape[:2]), elbo.reshape(x.shape[:2])


def steps(name: str, confidence: Tensor, elbo: Tensor) -> list[Step]:
    """A row per place."""
    places = torch.linspace(0, 1, len(confidence)).tolist()
    return [
        Step(name, t, *mean_and_error(c), *mean_and_error(e)) for t, c, e in zip(places, confidence, elbo, strict=True)
    ]


def gain(what: str, latents: Tensor, pixels: Tensor) -> Gain:
    """Of each pair half way, of values (points, pairs)."""
    middle = len(latents) // 2
    return Gain(what, *mean_and_error(latents[middle] - pixels[middle]))


def table(rows: Sequence[Step], gains: Sequence[Gain], settings: Settings) -> str:
    """Both paths at their ends and half way, and the gain there."""
    head = f"{settings.pairs} pairs of digits"
    lines = [f"{head:<30}{'confidence':>18}{'ELBO of another VAE':>24}"]
    for row in rows:
        if row.place in (0.0, 0.5, 1.0):
            confidence = f"{row.confidence:.3f} ± {row.confidence_error:.3f}"
            elbo = f"{row.elbo:.2f} ± {row.elbo_error:.2f}"
            lines.append(f"  {f'{row.path}, at {row.place:g}':<28}{confidence:>18}{elbo:>24}")
    for each in gains:
        lines.append(f"half way, latents less pixels: {each.what} {with_error(each.mean, each.error)}")
    return "\n".join(lines)


def draw_paths(paths: dict[str, Tensor]) -> Figure:
    """Some pairs, the path by latents above that by pixels."""
    each = torch.stack([x[:, :SHOWN] for x in paths.values()])  # (path, points, pairs, D)
    side = round(each.shape[-1] ** 0.5)
    sheet = rearrange(each, "p t n (h w) -> (n p h) (t w)", h=side)
    figure, axes = panels(1, 1, 5.6, 5.6 * sheet.shape[0] / sheet.shape[1] + 0.4)
    axes[0, 0].imshow(sheet.numpy(), cmap="Greys", vmin=0, vmax=1)
    for i in range(1, SHOWN):
        axes[0, 0].axhline(2 * side * i - 0.5, color="black", linewidth=0.8)
    axes[0, 0].set(xticks=[], yticks=[], title="of each pair: latents above, pixels below")
    return figure


def draw_steps(rows: Sequence[Step]) -> Figure:
    """Confidence and ELBO along the paths."""
    figure, (axes,) = panels(1, 2, 9, 3.6)
    for style, name in enumerate(dict.fromkeys(row.path for row in rows)):
        here = [row for row in rows if row.path == name]
        place = [row.place for row in here]
        line(axes[0], place, [row.confidence for row in here], name, style, [row.confidence_error for row in here])
        line(axes[1], place, [row.elbo for row in here], name, style, [row.elbo_error for row in here])
    axes[0].set(xlabel="place between the two images", ylabel="classifier's largest probability")
    axes[1].set(xlabel="place between the two images", ylabel="ELBO of another VAE, nats")
    axes[0].legend(frameon=False, fontsize=8)
    return figure

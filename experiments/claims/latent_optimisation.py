"""Raise a property of decoded images by gradient ascent in the latents, within the prior's typical set.

Claim    in the typical set, |z|² of d ± 2 sqrt(2 d), ascent from nearly every start comes higher than the best of as
         many draws from the prior as it evaluates; without that bound it leaves the set, for more of the property
Command  python -m jensen.experiments.claims.latent_optimisation
"""

if __name__ == "__main__":  # before the imports, in which Ctrl-C is then one line too
    from jensen.experiments.reproduce import launch

    launch(__file__)

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple, TypeAlias

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
from jensen.experiments.claims.checked import check_at_least, check_seed
from jensen.experiments.claims.computed import mean_and_error
from jensen.experiments.claims.fitted import fitted_classifier, fitted_vae
from jensen.experiments.data.labelled import digits
from jensen.experiments.report.drawing import panels, png
from jensen.experiments.report.images import expected
from jensen.experiments.run import files
from jensen.experiments.run.command import command
from jensen.experiments.run.errors import InputError

Property: TypeAlias = Callable[[Tensor], Tensor]  # images (..., D) -> (...)
RATE = 0.05  # of a step's length to |z|
SHOWN = 10
DRAWS, BOUNDED, FREE = "draws", "ascent, typical set", "ascent, anywhere"


@dataclass(frozen=True)
class Settings:
    """Optimise the ink of a decoded digit and the log odds of its class: a table, a figure and JSON lines."""

    out: Path = Path("runs/latent-optimisation")
    """Folder of rows.jsonl and optimised.png; what it holds of these is replaced."""
    digits: tuple[int, ...] = (3, 8)
    """Classes whose log odds against all others, by a classifier, are raised."""
    starts: int = 20
    """Of each ascent, drawn from the prior."""
    ascent: int = 100
    """Steps from each."""
    hidden: int = 200
    """Units of each hidden layer, of the VAE and of the classifier."""
    latent: int = 10
    """Latent dimensions, d."""
    steps: int = 2000
    """Of training, of the VAE and of the classifier."""
    seed: int = 0
    """Everything random follows from it."""

    def check(self) -> None:
        """Raises an InputError for what cannot work."""
        if len(set(self.digits)) < len(self.digits) or not set(self.digits) <= set(range(10)):
            raise InputError(f"--digits {' '.join(map(str, self.digits))}: expected digits from 0 to 9, each once")
        check_at_least(self, starts=2, ascent=1, hidden=1, latent=2, steps=1)
        check_seed(self.seed)


class Raised(NamedTuple):
    """What one way reaches of a property."""

    property: str
    way: str
    mean: float
    error: float  # standard error over starts, or over draws
    best: float
    above: float  # the share of starts, or of draws, that are above the best draw in the typical set
    radius: float  # |z|² / d of the best: 1 ± 2 sqrt(2 / d) in the typical set


def main(argv: list[str] | None = None) -> None:
    """The command line."""
    with command("run it again", "--starts or --hidden"):
        settings = tyro.cli(Settings, args=argv, prog="python -m jensen.experiments.claims.latent_optimisation")
        settings.check()
        print(table(run(settings), settings))
        print(f"\nrows and figure in {settings.out}")


def run(settings: Settings) -> list[Raised]:
    """A row per property and way; leaves rows and the figure in the folder."""
    files.make(settings.out)
    data = digits()
    vae_key, classifier_key, search_key = keys.split(keys.key(settings.seed), 3)
    model, params = fitted_vae(data.train["x"], settings.hidden, settings.latent, settings.steps, vae_key)
    classifier = fitted_classifier(data.train, settings.hidden, settings.steps, classifier_key)
    rows, shown = [], {}
    for name, value in properties(classifier, settings.digits).items():
        best_draw = -torch.inf
        for way, z in ways(model, params, value, search_key, settings).items():
            with torch.no_grad():
                x = expected(model, params, z[:, None])[:, 0]
            values = value(x)
            best_draw = values.max().item() if way == DRAWS else best_draw
            rows.append(raised(name, way, values, z, best_draw))
            shown[name, way] = x[values.topk(min(SHOWN, len(x))).indices]
    files.write_atomically(settings.out / "optimised.png", png(draw_figure(shown)))
    files.write_rows(settings.out / "rows.jsonl", [row._asdict() for row in rows])
    return rows


def properties(classifier: tuple[Classifier, Params], classes: Sequence[int]) -> dict[str, Property]:
    """Of images: the mean of their pixels, and the log odds of each class."""
    model, params = classifier

    def log_odds(x: Tensor, label: int) -> Tensor:
        logits = model.logits(params, x)
        others = torch.cat([logits[:, :label], logits[:, label + 1 :]], -1)
        return logits[:, label] - others.logsumexp(-1)

    each: dict[str, Property] = {"ink": lambda x: x.mean(-1)}
    return each | {f"log odds of {label}": lambda x, label=label: log_odds(x, label) for label in classes}


def ways(model: VAE, params: Params, value: Property, key: Key, settings: Settings) -> dict[str, Tensor]:
    """z (n, d) of each way: draws, as many as all ascents evaluate, but for atypical ones; and both kinds of ascent."""
    d, draws = settings.latent, settings.starts * settings.ascent
    start_key, draw_key = keys.split(key)
    start, z = keys.normal(start_key, (settings.starts, d)), keys.normal(draw_key, (draws, d))

    def of(z: Tensor) -> Tensor:
        return value(expected(model, params, z[:, None])[:, 0])

    return {
        DRAWS: z[(z == typical(z)).all(-1)],
        BOUNDED: climb(of, start, settings.ascent, typical),
        FREE: climb(of, start, settings.ascent, lambda z: z),
    }


def typical(z: Tensor) -> Tensor:
    """z (n, d) itself where |z|² is within d ± 2 sqrt(2 d), two standard deviations, and else the nearest that is."""
    d, square = z.shape[-1], z.square().sum(-1, keepdim=True)
    off = 2 * (2 * d) ** 0.5
    nearest = square.clamp(max(d - off, 0.0), d + off)
    return torch.where(square == nearest, z, z * (nearest / square.clamp_min(1e-12)).sqrt())


def climb(of: Property, start: Tensor, steps: int, within: Callable[[Tensor], Tensor]) -> Tensor:
    """z (n, d) after steps along the gradient's direction, of a length that falls to 0; each start by itself."""
    z, longest = within(start), 2 * RATE * start.shape[-1] ** 0.5
    for step in range(steps):
        slope = torch.func.grad(lambda z: of(z).sum())(z)
        z = z + longest * (1 - step / steps) * slope / slope.norm(dim=-1, keepdim=True).clamp_min(1e-12)
        z = within(z)
    return z


def raised(name: str, way: str, values: Tensor, z: Tensor, best_draw: float) -> Raised:
    best, above = int(values.argmax()), (values > best_draw).double().mean().item()
    return Raised(name, way, *mean_and_error(values), values[best].item(), above, z[best].square().mean().item())


def table(rows: Sequence[Raised], settings: Settings) -> str:
    """Each way's mean and best, and how many of its ends are above the best draw."""
    head = f"{settings.starts} starts, {settings.ascent} steps, {settings.starts * settings.ascent} draws"
    lines = [f"{head:<44}{'mean':>18}{'best':>10}{'above the best draw':>22}{'|z|² / d':>10}"]
    for row in rows:
        mean, above = f"{row.mean:.3f} ± {row.error:.3f}", "" if row.way == DRAWS else f"{row.above:.0%}"
        name = f"{row.property}: {row.way}"
        lines.append(f"  {name:<42}{mean:>18}{row.best:>10.3f}{above:>22}{row.radius:>10.2f}")
    bounded = [row.above for row in rows if row.way == BOUNDED]
    return "\n".join([*lines, f"in the typical set, {min(bounded):.0%} of starts or more end above the best draw"])


def draw_figure(shown: dict[tuple[str, str], Tensor]) -> Figure:
    """The highest images of each way, a row for each."""
    side = round(next(iter(shown.values())).shape[-1] ** 0.5)
    figure, axes = panels(len(shown), 1, 8, 0.9 * len(shown))
    for axis, ((name, way), x) in zip(axes[:, 0], shown.items(), strict=True):
        axis.imshow(rearrange(x, "n (h w) -> h (n w)", h=side).numpy(), cmap="Greys", vmin=0, vmax=1)
        axis.set(xticks=[], yticks=[])
        axis.set_ylabel(f"{name}:\n{way}", rotation=0, ha="right", va="center", fontsize=8)
    return figure

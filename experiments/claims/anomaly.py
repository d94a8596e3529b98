"""Find images of a digit that a VAE was not trained on, by how improbable they are to it.

Claim    the negative ELBO and the NLL separate a digit that was held out from the others better than a model of
         independent pixels does, on the mean over digits; not of every digit: a simple one, such as 1, is probable to
         a model that has never seen it
Command  python -m jensen.experiments.claims.anomaly
"""

if __name__ == "__main__":  # before the imports, in which Ctrl-C is then one line too
    from jensen.experiments.reproduce import launch

    launch(__file__)

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import NamedTuple

import torch
import tyro
from matplotlib.figure import Figure
from torch import Tensor

from jensen.core import keys
from jensen.core.contracts import Key
from jensen.estimators.evidence import draw, importance
from jensen.experiments.claims.checked import check_at_least, check_seed
from jensen.experiments.claims.computed import mean_and_error, with_error
from jensen.experiments.claims.fitted import fitted_vae
from jensen.experiments.data.labelled import digits
from jensen.experiments.data.pixels import binarise
from jensen.experiments.report.drawing import line, panels, png
from jensen.experiments.run import files
from jensen.experiments.run.command import command
from jensen.experiments.run.errors import InputError

FLOOR = "independent pixels"


@dataclass(frozen=True)
class Settings:
    """Hold out each digit in turn: AUROC of scores that tell it from the others, a figure and JSON lines."""

    out: Path = Path("runs/anomaly")
    """Folder of rows.jsonl and anomaly.png; what it holds of these is replaced."""
    digits: tuple[int, ...] = tuple(range(10))
    """Held out one at a time."""
    hidden: int = 200
    """Units of each hidden layer."""
    latent: int = 10
    """Latent dimensions."""
    steps: int = 2000
    """Of training, for each digit."""
    samples: int = 200
    """Importance samples of the NLL, and draws of the ELBO."""
    seed: int = 0
    """Everything random follows from it."""

    def check(self) -> None:
        """Raises an InputError for what cannot work."""
        if len(set(self.digits)) < max(2, len(self.digits)) or not set(self.digits) <= set(range(10)):
            raise InputError(f"--digits {' '.join(map(str, self.digits))}: expected two digits or more, each once")
        check_at_least(self, hidden=1, latent=1, steps=1, samples=2)
        check_seed(self.seed)


class Separated(NamedTuple):
    """How well a score tells a digit that was held out from the others: P(its score is higher), ties count half."""

    digit: int
    score: str
    auroc: float
    error: float  # standard error (Hanley and McNeil, 1982)


def main(argv: list[str] | None = None) -> None:
    """The command line."""
    with command("run it again", "--hidden or --samples"):
        settings = tyro.cli(Settings, args=argv, prog="python -m jensen.experiments.claims.anomaly")
        settings.check()
        print(table(run(settings)))
        print(f"\nrows and figure in {settings.out}")


def run(settings: Settings) -> list[Separated]:
    """A row per digit and score; leaves rows and the figure in the folder."""
    files.make(settings.out)
    rows = [row for digit in settings.digits for row in measure(digit, settings)]
    files.write_atomically(settings.out / "anomaly.png", png(draw_figure(rows)))
    files.write_rows(settings.out / "rows.jsonl", [row._asdict() for row in rows])
    return rows


def measure(digit: int, settings: Settings) -> list[Separated]:
    """The scores of test images of other digits, and of all images of this one, none of which was trained on."""
    data = digits()
    train, test = (each["x"][each["labels"] != digit] for each in (data.train, data.test))
    held_out = torch.cat([each["x"][each["labels"] == digit] for each in (data.train, data.test)])
    key = keys.fold_in(keys.key(settings.seed), digit)
    each = scores(train, torch.cat([test, held_out]), settings, key)
    return [Separated(digit, name, *auroc(score[len(test) :], score[: len(test)])) for name, score in each.items()]


def scores(train: Tensor, x: Tensor, settings: Settings, key: Key) -> Mapping[str, Tensor]:
    """Of binarised images x: minus log densities, and the bound, (n,) each."""
    fit_key, pixels, draws, again = keys.split(key, 4)
    model, params = fitted_vae(train, settings.hidden, settings.latent, settings.steps, fit_key)
    x = binarise(pixels, x)
    with torch.no_grad():
        log_p, q = partial(model.log_joint, params, x), model.posterior(params, x)
        return {
            "−ELBO": -draw(log_p, q, settings.samples, draws).mean(0),
            "NLL": -importance(log_p, q, again, settings.samples).log_p,
            FLOOR: -model.independent(train).log_prob(x[None])[0],
        }


def auroc(positive: Tensor, negative: Tensor) -> tuple[float, float]:
    """P(positive > negative) + ½ P(equal) over all pairs, and its standard error by Hanley and McNeil (1982).

    Their error is that of scores of exponential tails: Q1 = A / (2 - A), Q2 = 2 A² / (1 + A).
    """
    gaps = positive.double()[:, None] - negative.double()
    area = ((gaps > 0).double().mean() + 0.5 * (gaps == 0).double().mean()).item()
    m, n = len(positive), len(negative)
    of_positives, of_negatives = area / (2 - area) - area**2, 2 * area**2 / (1 + area) - area**2
    variance = (area * (1 - area) + (m - 1) * of_positives + (n - 1) * of_negatives) / (m * n)
    return area, max(variance, 0.0) ** 0.5


def gain(rows: Sequence[Separated], score: str) -> tuple[float, float]:
    """Of a score over independent pixels: the mean over digits, and its standard error over them."""
    floor = {row.digit: row.auroc for row in rows if row.score == FLOOR}
    return mean_and_error([row.auroc - floor[row.digit] for row in rows if row.score == score])


def table(rows: Sequence[Separated]) -> str:
    """AUROC by digit and score, their means, and the gain over the floor."""
    names = list(dict.fromkeys(row.score for row in rows))
    lines = [f"{'AUROC of the digit held out':<30}" + "".join(f"{name:>22}" for name in names)]
    for digit in dict.fromkeys(row.digit for row in rows):
        here = {row.score: row for row in rows if row.digit == digit}
        lines.append(f"  {digit:<28}" + "".join(f"{here[n].auroc:>14.3f} ± {here[n].error:.3f}" for n in names))
    means = {name: [row.auroc for row in rows if row.score == name] for name in names}
    lines.append(f"  {'mean':<28}" + "".join(f"{sum(each) / len(each):>14.3f}{'':8}" for each in means.values()))
    for name in names:
        if name != FLOOR:
            lines.append(f"{name} over {FLOOR}: {with_error(*gain(rows, name))}")
    return "\n".join(lines)


def draw_figure(rows: Sequence[Separated]) -> Figure:
    """AUROC against the digit, a line per score."""
    figure, axes = panels(1, 1, 6.4, 3.8)
    for style, name in enumerate(dict.fromkeys(row.score for row in rows)):
        here = [row for row in rows if row.score == name]
        values, errors = [row.auroc for row in here], [row.error for row in here]
        line(axes[0, 0], [row.digit for row in here], values, name, style, errors, linestyle="none")
    axes[0, 0].axhline(0.5, color="black", linewidth=0.8)
    axes[0, 0].set(xlabel="digit held out", ylabel="AUROC", xticks=sorted({row.digit for row in rows}))
    axes[0, 0].legend(frameon=False, fontsize=8)
    return figure

"""Classify digits by a network's most probable parameters, and by Laplace's normal about them of several curvatures.

Claim    Laplace's normal over all layers by Kronecker factors, with the prior of most evidence, tells digits from what
         are none far better than the parameters alone, at the same accuracy; by a diagonal or the last layer it does
         not. It does not better the probabilities of test digits: those of the parameters are too low already, which
         were found with weight decay, and a normal about them lowers them further, so that NLL and ECE rise.
         In one dimension the spread widens between clusters of data, by the whole matrix most
Command  python -m jensen.experiments.claims.network_uncertainty
"""

if __name__ == "__main__":  # before the imports, in which Ctrl-C is then one line too
    from jensen.experiments.reproduce import launch

    launch(__file__)

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import torch
import tyro
from matplotlib.figure import Figure
from torch import Tensor

from jensen.core import keys, trees
from jensen.core.contracts import Key
from jensen.core.models import classifier
from jensen.core.models.classifier import Classifier
from jensen.core.nn import mlp
from jensen.core.trees import Params, Tree
from jensen.estimators.inference import NetworkPosterior, network_laplace
from jensen.estimators.inference.curvature import Categorical, Gaussian
from jensen.experiments.claims.anomaly import auroc
from jensen.experiments.claims.checked import check_at_least
from jensen.experiments.claims.computed import mean_and_error, with_error
from jensen.experiments.claims.fitted import fit
from jensen.experiments.data import labelled
from jensen.experiments.report.drawing import panels, png
from jensen.experiments.run import files
from jensen.experiments.run.command import command

ALONE = "parameters alone"
POSTERIORS: dict[str, tuple[network_laplace.Structure, tuple[str, ...]]] = {
    "last layer": ("full", ("1",)),
    "diagonal": ("diagonal", ()),
    "Kronecker factors": ("kfac", ()),
}
BINS = 15  # of the calibration error
NOISE, CLUSTERS, UNITS = 0.1, ((-2.0, -0.8), (0.8, 2.0)), 20  # of the regression


@dataclass(frozen=True)
class Settings:
    """Probabilities of test digits by parameters and by posteriors: a table, a figure and JSON lines."""

    out: Path = Path("runs/network_uncertainty")
    """Folder of rows.jsonl and regression.png; what it holds of these is replaced."""
    seeds: int = 10
    """Of the training images, the network's start and all else that is random."""
    each: int = 30
    """Training images of every digit."""
    hidden: int = 100
    """Units of the hidden layer."""
    steps: int = 1000
    """Of training."""
    precision: float = 1.0
    """Of the prior in training, 1 / variance of each parameter."""

    def check(self) -> None:
        """Raises an InputError for what cannot work."""
        check_at_least(self, seeds=2, each=1, hidden=1, steps=1, precision=0)


class Row(NamedTuple):
    """Of one way to probabilities: on test digits, and how often a digit is surer than what is none."""

    seed: int
    name: str
    accuracy: float
    sure: float  # the mean of the largest probability
    nll: float  # nats per digit
    calibration: float  # the calibration error
    rotated: float  # AUROC of digits against the same turned by a quarter
    noise: float  # and against pixels of digits in random places
    seconds: float


def main(argv: list[str] | None = None) -> None:
    """The command line."""
    with command("run it again", "--each or --hidden"):
        settings = tyro.cli(Settings, args=argv, prog="python -m jensen.experiments.claims.network_uncertainty")
        settings.check()
        print(table(run(settings), settings))
        print(f"\nrows and figure in {settings.out}")


def run(settings: Settings) -> list[Row]:
    """A row per seed and way; leaves rows and the figure in the folder."""
    files.make(settings.out)
    rows = [row for seed in range(settings.seeds) for row in measure(seed, settings)]
    files.write_rows(settings.out / "rows.jsonl", [row._asdict() for row in rows])
    files.write_atomically(settings.out / "regression.png", png(draw_figure(regression(settings))))
    return rows


def measure(seed: int, settings: Settings) -> list[Row]:
    """One network by each way."""
    data = labelled.digits()
    choice, fit_key, noise_key = keys.split(keys.key(seed), 3)
    train = labelled.few(choice, data.train, settings.each)
    model, params = trained(train, settings, fit_key)
    test, labels = data.test["x"], data.test["labels"]
    sides = data.shape[1:]
    others = {
        "rotated": test.unflatten(1, sides).rot90(1, (1, 2)).flatten(1),
        "noise": test.gather(1, keys.uniform(noise_key, tuple(test.shape)).argsort(1)),
    }
    rows = [_row(seed, ALONE, lambda x: model.logits(params, x).softmax(-1), test, labels, others, time.perf_counter())]
    for name, (curvature, only) in POSTERIORS.items():
        start = time.perf_counter()
        posterior, _ = network_laplace.fit(
            model.logits, params, train["x"], train["labels"], Categorical(), curvature, only=only
        )
        rows.append(_row(seed, name, lambda x, p=posterior: p.predict(x).mean, test, labels, others, start))
    return rows


def trained(data: Tree, settings: Settings, key: Key) -> tuple[Classifier, Params]:
    """A perceptron at its most probable parameters, nearly."""
    model = classifier.mlp(data["x"].shape[1], (settings.hidden,), classes=10)
    init_key, fit_key = keys.split(key)
    share = settings.precision / len(data["labels"])

    def loss(params: Params, batch: Tree, key: Key) -> Tensor:
        return model.loss(params, batch["x"], batch["labels"]) + 0.5 * share * trees.norm(params).square()

    return model, fit(loss, model.init(init_key), data, settings.steps, fit_key)


def _row(
    seed: int, name: str, probabilities: Callable[[Tensor], Tensor], test: Tensor, labels: Tensor,
    others: Mapping[str, Tensor], start: float,
) -> Row:  # fmt: skip
    """AUROC is of the largest probability, of test digits against others."""
    p = probabilities(test)
    seconds = time.perf_counter() - start
    nll = -p[torch.arange(len(p)), labels].log().mean().item()
    right = (p.argmax(-1) == labels).double().mean().item()
    apart = {other: auroc(p.amax(-1), probabilities(x).amax(-1))[0] for other, x in others.items()}
    return Row(seed, name, right, p.amax(-1).mean().item(), nll, calibration_error(p, labels), **apart, seconds=seconds)


def calibration_error(probabilities: Tensor, labels: Tensor) -> float:
    """The mean distance of the largest probability from how often it is right, in bins of equal width (ECE)."""
    sure, found = probabilities.double().max(-1)
    place = (sure * BINS).long().clamp_max(BINS - 1)
    gaps = torch.zeros(BINS, dtype=torch.float64).index_add(0, place, (found == labels).double() - sure)
    return gaps.abs().sum().item() / len(labels)


def regression(settings: Settings) -> tuple[Tensor, Tensor, dict[str, NetworkPosterior]]:
    """Noisy values of a sine in two clusters, and posteriors of a network that was fitted to them."""
    start, place, noise = keys.split(keys.key(0), 3)
    x = torch.cat([low + (high - low) * keys.uniform(keys.fold_in(place, i), (1, 20))[0]
                   for i, (low, high) in enumerate(CLUSTERS)])[:, None]  # fmt: skip
    y = torch.sin(3 * x) + NOISE * keys.normal(noise, tuple(x.shape))

    def loss(params: Params, batch: Tree, key: Key) -> Tensor:
        errors = ((mlp.apply(params, batch["x"]) - batch["y"]) / NOISE).square().mean()
        return 0.5 * errors + 0.5 * settings.precision / len(x) * trees.norm(params).square()

    params = fit(loss, mlp.init(start, (1, UNITS, 1)), {"x": x, "y": y}, 3 * settings.steps, start, 2e-2)
    found = {
        name: network_laplace.fit(mlp.apply, params, x, y, Gaussian(NOISE), curvature, settings.precision, only)[0]
        for name, (curvature, only) in {"whole": ("full", ()), **POSTERIORS}.items()
    }
    return x, y, found


def table(rows: Sequence[Row], settings: Settings) -> str:
    """Means over seeds, and gains over the parameters alone."""
    head = f"{settings.each} images of each digit"
    columns = {"accuracy": 10, "sure": 9, "NLL": 9, "ECE": 9, "AUROC, turned": 15, "AUROC, noise": 14, "seconds": 10}
    lines = [f"{head:<26}" + "".join(f"{name:>{width}}" for name, width in columns.items())]
    names = list(dict.fromkeys(row.name for row in rows))
    for name in names:
        here = [row for row in rows if row.name == name]
        means = [sum(each) / len(here) for each in zip(*(row[2:] for row in here), strict=True)]
        right, sure, nll, off, turned, noise, seconds = means
        lines.append(
            f"  {name:<24}{right:>10.2%}{sure:>9.2%}{nll:>9.3f}{off:>9.3f}{turned:>15.3f}{noise:>14.3f}{seconds:>10.2f}"
        )
    for name in names[1:]:
        for what, said in (("nll", "NLL"), ("rotated", "AUROC, turned"), ("noise", "AUROC, noise")):
            lines.append(f"{name} over {ALONE}: {said} {with_error(*gain(rows, name, what))}")
    return "\n".join(lines)


def gain(rows: Sequence[Row], name: str, what: str) -> tuple[float, float]:
    """By seed, over the parameters alone: the mean and its standard error."""
    by = {(row.seed, row.name): getattr(row, what) for row in rows}
    return mean_and_error([by[seed, name] - by[seed, ALONE] for seed in sorted({row.seed for row in rows})])


def draw_figure(found: tuple[Tensor, Tensor, dict[str, NetworkPosterior]]) -> Figure:
    """Means and two standard deviations of the network's outputs, a panel per posterior."""
    x, y, posteriors = found
    figure, (axes,) = panels(1, len(posteriors), 12, 3)
    at = torch.linspace(-3, 3, 200)[:, None]
    for axis, (name, posterior) in zip(axes, posteriors.items(), strict=True):
        outputs = posterior.outputs(at)
        mean, spread = outputs.mean[:, 0], 2 * outputs.covariance[:, 0, 0].sqrt()
        axis.fill_between(at[:, 0], mean - spread, mean + spread, alpha=0.3, linewidth=0)
        axis.plot(at[:, 0], mean, linewidth=1.2)
        axis.plot(x[:, 0], y[:, 0], "k.", markersize=3)
        axis.set(title=name, xlabel="x", ylim=(-2.5, 2.5))
    axes[0].set(ylabel="f(x), ± 2 standard deviations")
    return figure


if __name__ == "__main__":
    main()

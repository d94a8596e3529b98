"""Train information bottlenecks over weights beta: how much of images their latents keep, and what that says of labels.

Claim    as beta falls the bounds on I(Z; Y) from below and on I(X; Z) from above rise together, the first towards H(Y),
         and never above the second; most of what there is to know of a label costs a fraction of what latents can keep,
         and test accuracy is highest at a beta in between (Alemi et al., 2017)
Command  python -m jensen.experiments.claims.bottleneck
"""

if __name__ == "__main__":  # before the imports, in which Ctrl-C is then one line too
    from jensen.experiments.reproduce import launch

    launch(__file__)

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Literal, NamedTuple

import tyro
from matplotlib.figure import Figure

from jensen.experiments.data.images import ImageData
from jensen.experiments.programs.bottleneck import Bottleneck
from jensen.experiments.report.drawing import line, panels, png
from jensen.experiments.run import files
from jensen.experiments.run.command import command
from jensen.experiments.run.errors import InputError
from jensen.experiments.run.folder import REPORT
from jensen.experiments.run.kept import findings, finished
from jensen.experiments.run.settings import Run

BELOW, ABOVE = "I(Z;Y) at least", "I(X;Z) at most"


@dataclass(frozen=True)
class Settings:
    """Compare information bottlenecks by the bounds that they reach, over weights of I(X;Z)."""

    data: Literal["digits", "mnist"] = "digits"
    """As for experiments.train."""
    data_dir: Path | None = None
    """As for experiments.train."""
    out: Path = Path("runs/bottleneck")
    """Folder of a run per beta, of rows.jsonl and of a figure; a run that is there is gone on with."""
    betas: tuple[float, ...] = (1.0, 0.5, 0.2, 0.1, 0.03, 0.01, 0.001, 0.0001)
    """Weights, falling."""
    latent: int = 8
    """Latent dimensions."""
    epochs: int = 100
    """Of each run."""
    compile: bool = False
    """Compile the step with torch.compile; steps are short."""

    def check(self) -> None:
        """Raises an InputError for what cannot work."""
        if len(self.betas) < 2 or sorted(set(self.betas), reverse=True) != list(self.betas):
            raise InputError(f"--betas {' '.join(map(str, self.betas))}: expected two falling ones or more")


class Point(NamedTuple):
    """Bounds of a run, in nats, on training or test data, with standard errors over them; accuracy in percent."""

    beta: float
    of: str
    relevance: float  # of I(Z; Y), from below
    relevance_error: float
    rate: float  # of I(X; Z), from above
    rate_error: float
    accuracy: float
    entropy: float  # H(Y)


def main(argv: list[str] | None = None) -> None:
    """The command line."""
    with command("run it again to go on", "--latent or --betas"):
        settings = tyro.cli(Settings, args=argv, prog="python -m jensen.experiments.claims.bottleneck")
        settings.check()
        points = run(settings)
        print(table(points))
        print(f"\n{verdict(points)}\n\nruns, rows and figure in {settings.out}")


def run(settings: Settings) -> list[Point]:
    """Two points per beta, of training and of test data."""
    each = [(beta, options(beta, settings)) for beta in settings.betas]
    for _, one in each:
        one.check()
    files.make(settings.out)
    points = [point for beta, one in each for point in finished("bottleneck", one, lambda path, b=beta: read(path, b))]
    files.write_atomically(settings.out / "bottleneck.png", png(drawing(points)))
    files.write_rows(settings.out / "rows.jsonl", [point._asdict() for point in points])
    return points


def options(beta: float, settings: Settings) -> Bottleneck:
    """The run of a weight: all start alike, and see the same batches."""
    return Bottleneck(
        images=ImageData(data=settings.data, data_dir=settings.data_dir, pixels="grey"),
        beta=beta,
        latent=settings.latent,
        run=Run(epochs=settings.epochs, compile=settings.compile, out=settings.out / f"beta-{beta:g}"),
    )


def read(folder: Path, beta: float) -> list[Point] | None:
    """What a finished run's report says; None of one that has not finished."""
    if not (folder / REPORT).is_file():
        return None
    rows = findings(folder)["information"]
    found = {(row["of"], row["name"]): row for row in rows}
    entropy = found["train", "H(Y)"]["mean"]
    points = []
    for of in ("train", "test"):
        below, above, accuracy = (found[of, name] for name in (BELOW, ABOVE, "accuracy"))
        bounds = below["mean"], below["error"], above["mean"], above["error"]
        points.append(Point(beta, of, *bounds, accuracy["mean"], entropy))
    return points


def table(points: Sequence[Point]) -> str:
    """Bounds by beta, with standard errors over data."""
    lines = [f"{'beta':>8} {'of':<6}{BELOW:>20}{ABOVE:>20}{'accuracy, %':>14}"]
    for p in points:
        relevance, rate = f"{p.relevance:.3f} ± {p.relevance_error:.3f}", f"{p.rate:.3f} ± {p.rate_error:.3f}"
        lines.append(f"{p.beta:>8g} {p.of:<6}{relevance:>20}{rate:>20}{p.accuracy:>14.2f}")
    return "\n".join([*lines, f"H(Y) = {points[0].entropy:.3f} nats"])


def verdict(points: Sequence[Point]) -> str:
    """Whether the curve of training data is one: monotone, and within H(Y) and I(X; Z)."""
    train = [p for p in points if p.of == "train"]
    rises = all(
        a.relevance <= b.relevance + 3 * (a.relevance_error + b.relevance_error) and a.rate <= b.rate
        for a, b in pairwise(train)
    )
    within = all(p.relevance <= min(p.entropy, p.rate + 3 * (p.rate_error + p.relevance_error)) for p in points)
    best = max((p for p in points if p.of == "test"), key=lambda p: p.accuracy)
    return (
        f"as beta falls both bounds {'rise' if rises else 'do not always rise'}; I(Z;Y) is "
        f"{'' if within else 'NOT '}within H(Y) and I(X;Z); test accuracy is highest at beta "
        f"{best.beta:g}"
    )


def drawing(points: Sequence[Point]) -> Figure:
    """The information plane: I(Z; Y) against I(X; Z), with H(Y), and the diagonal that no latents are above."""
    figure, axes = panels(1, 1, 5.5, 4)
    axis = axes[0, 0]
    for style, of in enumerate(("train", "test")):
        found = [p for p in points if p.of == of]
        errors = [p.relevance_error for p in found]
        line(axis, [p.rate for p in found], [p.relevance for p in found], of, style, errors)
    entropy = points[0].entropy
    axis.axhline(entropy, color="black", linewidth=1, linestyle="--", label="H(Y)")
    least = min(p.relevance for p in points)
    axis.plot([least, entropy], [least, entropy], color="0.5", linewidth=1, label="I(Z;Y) = I(X;Z)")
    axis.set(xlabel="I(X;Z), nats, at most", ylabel="I(Z;Y), nats, at least", xscale="log")
    axis.legend(frameon=False, fontsize=8)
    return figure

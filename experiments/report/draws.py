"""What images that a model draws are worth to a classifier, beside what held-out images are."""

from typing import NamedTuple

import torch
from torch import Tensor

from jensen.core import keys
from jensen.core.contracts import Key
from jensen.estimators.diagnostics import (
    Frechet,
    InceptionScore,
    KernelDistance,
    PrecisionRecall,
    frechet,
    inception_score,
    kernel_distance,
    precision_recall,
)
from jensen.experiments.programs.judge import Judge
from jensen.experiments.run.program import Finding, Row

LEAST = 20  # images, two for each split of the inception score
POOR = 0.9  # accuracy of a classifier, below which its features are doubted


class Measured(NamedTuple):
    """One set of images against training images."""

    distance: Frechet
    kernel: KernelDistance
    score: InceptionScore
    where: PrecisionRecall

    def numbers(self) -> dict[str, float]:
        """By name."""
        distance, kernel, score, where = self
        return {
            "frechet": distance.distance.item(), "frechet_bias": distance.bias.item(),
            "frechet_extrapolated": distance.extrapolated.item(), "frechet_error": distance.error.item(),
            "kernel_distance": kernel.distance.item(), "kernel_error": kernel.error.item(),
            "inception_score": score.score.item(), "score_error": score.error.item(),
            **{name: getattr(where, name).item() for name in ("precision", "recall", "density", "coverage")},
        }  # fmt: skip


class Draws(NamedTuple):
    """Draws and as many held-out images, each against as many training images."""

    drawn: Measured
    held_out: Measured
    judge: str
    accuracy: float  # of the classifier on test images
    asked: float | None = None  # the share of draws that it takes for the class that they were drawn of

    def finding(self) -> Finding:
        """A table, and in words whether draws are as near as held-out images are."""
        each = {"draws": self.drawn, "held-out images": self.held_out}
        rows: list[Row] = [{"of": name, "images": one.distance.n, **one.numbers()} for name, one in each.items()]
        n = self.drawn.distance.n
        lines = [
            f"features ({self.drawn.distance.d}) of {self.judge}, right of {100 * self.accuracy:.1f} % of test images",
            f"{f'against {n} training images':<34}{f'{n} draws':>16}{f'{n} held-out':>20}",
        ]
        for name, shown in LINES.items():
            lines.append(f"{name:<34}{shown(self.drawn):>16}{shown(self.held_out):>20}")
        if self.asked is not None:
            rows[0]["of_the_class_asked_for"], rows[1]["of_the_class_asked_for"] = self.asked, self.accuracy
            lines.append(f"{'of the class asked for':<34}{self.asked:>16.3f}{self.accuracy:>20.3f}")
        return Finding("draws", rows, "\n".join([*lines, self.verdict()]) + "\n")

    def verdict(self) -> str:
        (_, ours, error, *_), (_, theirs, other, *_) = self.drawn.distance, self.held_out.distance
        apart, noise = (ours - theirs).item(), (error.square() + other.square()).sqrt().item()
        poor = ": but a classifier that is so often wrong has poor features" if self.accuracy < POOR else ""
        if apart > 2 * noise:
            return f"draws are further from training images than held-out ones are, by {apart:.3g} ± {noise:.2g}{poor}"
        if apart < -2 * noise:
            return (
                f"draws are nearer to training images than held-out ones are, by {-apart:.3g} ± {noise:.2g}: look for "
                f"training images among them{poor}"
            )
        return f"draws are as near to training images as held-out ones are, {apart:.2g} ± {noise:.2g} apart{poor}"


LINES = {
    "Fréchet distance": lambda of: f"{of.distance.distance:.4g}",
    "  of which bias at this n": lambda of: f"{of.distance.bias:.3g}",
    "  without it": lambda of: f"{of.distance.extrapolated:.3g} ± {of.distance.error:.2g}",
    "kernel distance": lambda of: f"{of.kernel.distance:.3g} ± {of.kernel.error:.2g}",
    "inception score": lambda of: f"{of.score.score:.2f} ± {of.score.error:.2f}",
    "precision": lambda of: f"{of.where.precision:.3f}",
    "recall": lambda of: f"{of.where.recall:.3f}",
    "density": lambda of: f"{of.where.density:.3f}",
    "coverage": lambda of: f"{of.where.coverage:.3f}",
}


class Against(NamedTuple):
    """Features of random training images, and as many held-out images."""

    features: Tensor
    held_out: Tensor


def against(judge: Judge, n: int, key: Key) -> Against:
    """What so many draws are compared with: the same images for the same key."""
    each = zip(keys.split(key), (judge.train, judge.test), strict=True)
    train, held_out = (x[keys.permutation(own, len(x))[:n]] for own, x in each)
    return Against(judge.features(train), held_out)


def most(judge: Judge) -> int:
    """As many draws as there are held-out and training images."""
    return min(len(judge.train), len(judge.test))


@torch.no_grad()
def measured(judge: Judge, x: Tensor, features: Tensor) -> Measured:
    """Images (n, D) against features of data (m, h)."""
    own = judge.features(x)
    return Measured(
        frechet(own, features), kernel_distance(own, features), inception_score(judge.log_p(x)),
        precision_recall(own, features),
    )  # fmt: skip


def judged(judge: Judge, x: Tensor, key: Key, labels: Tensor | None = None) -> Draws:
    """Images drawn (n, D), in [0, 1], in any order, of these labels (n,) where they have any: at most `most`."""
    features, held_out = against(judge, len(x), key)
    asked = None
    if labels is not None:
        asked = (judge.log_p(x.to(held_out)).argmax(-1) == labels.to(held_out.device)).double().mean().item()
    x = x.to(held_out)[keys.permutation(keys.fold_in(key, 2), len(x))]  # classes may be drawn in turn
    drawn, beside = (measured(judge, each, features) for each in (x, held_out))
    return Draws(drawn, beside, f"the classifier in {judge.folder}", judge.accuracy(), asked)

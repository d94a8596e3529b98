"""Several runs on the same data, by what their latents cost and what they leave out (Alemi et al., 2018)."""

from collections.abc import Mapping, Sequence
from itertools import groupby, pairwise
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from jensen.experiments.report.drawing import MARKERS, colour, panels
from jensen.experiments.run.errors import InputError, option
from jensen.experiments.run.program import Finding


class Point(NamedTuple):
    """A run's rate E KL(q || p) and distortion -E log p(x | z), in nats per datum."""

    beta: float | None  # the KL's weight; None for an objective that is not reconstruction - beta KL
    objective: str
    rate: float
    distortion: float
    run: str

    @property
    def name(self) -> str:
        return self.objective if self.beta is None else f"β = {self.beta:g}"


class Scored(NamedTuple):
    """What a run is scored on: test images (n, D), and by name what else decides the units of its numbers."""

    folder: Path
    test: Tensor
    units: Mapping[str, str]


def check_alike(runs: Sequence[Scored]) -> None:
    """InputError unless all runs score the same test images in the same units."""
    first, *rest = runs
    for other in rest:
        apart = [name for name in first.units if other.units[name] != first.units[name]]
        if apart:
            differing = " and ".join(
                f"{option(n)} {other.units[n]} where {first.folder} has {first.units[n]}" for n in apart
            )
            raise InputError(
                f"the run in {other.folder} has {differing}: rates and distortions compare on the same data alone, so "
                "evaluate them apart"
            )
        if not torch.equal(other.test, first.test):
            raise InputError(
                f"the runs in {first.folder} and {other.folder} have other test images: evaluate them apart"
            )


def rate_distortion(points: Sequence[Point]) -> Finding:
    """A row per run by KL weight, the model's best, and the curve: along its grey lines -ELBO is the same.

    Lines join the means of runs of neighbouring KL weights. Runs of one weight differ in something else, and are joined
    by none; nor are other objectives.
    """
    points = sorted(points, key=lambda point: (point.beta is None, point.beta or 0.0, point.objective, point.rate))
    figure, axes = panels(1, 1, 5.8, 4.4)
    axis = axes[0, 0]
    groups = [list(group) for _, group in groupby(points, key=lambda point: point.name)]
    centres = [np.mean([(point.distortion, point.rate) for point in group], 0) for group in groups]
    weighted = [centre for group, centre in zip(groups, centres, strict=True) if group[0].beta is not None]
    for (x, y), (to_x, to_y) in pairwise(weighted):
        axis.plot([x, to_x], [y, to_y], color="0.6", linewidth=1)
    for i, (group, centre) in enumerate(zip(groups, centres, strict=True)):
        x, y = [point.distortion for point in group], [point.rate for point in group]
        axis.scatter(x, y, color=[colour(i)], marker=MARKERS[i % len(MARKERS)], s=26, zorder=3)
        axis.annotate(group[0].name, centre, textcoords="offset points", xytext=(7, 6), fontsize=9)
    axis.margins(0.15)
    (left, right), (low, high) = axis.get_xlim(), axis.get_ylim()
    for total in np.linspace(left + low, right + high, 9)[1:-1]:
        axis.plot([left, right], [total - left, total - right], color="0.88", linewidth=0.8, zorder=0)
    axis.set(xlim=(left, right), ylim=(max(0.0, low), high), xlabel="distortion: −E log p(x | z), nats per datum",
             ylabel="rate: E KL(q || p), nats per datum", title="Rate and distortion; grey: equal ELBO")  # fmt: skip
    return Finding("rate-distortion", [point._asdict() for point in points], table(points), figure)


def table(points: Sequence[Point]) -> str:
    """A line per run, and what they show together."""
    lines = [f"{'objective':<22}{'rate':>10}{'distortion':>12}{'−ELBO':>10}   run"]
    for point in points:
        total = point.rate + point.distortion
        lines.append(f"{point.name:<22}{point.rate:>10.2f}{point.distortion:>12.2f}{total:>10.2f}   {point.run}")
    best = min(points, key=lambda point: point.rate + point.distortion)
    by_weight = [point for point in points if point.beta is not None]
    rises = [b.rate > a.rate for a, b in pairwise(by_weight) if a.beta != b.beta]
    if not rises:
        trend = "no two runs differ in their KL weight"
    elif any(rises):
        trend = (
            "the rate does not fall at each rise of the KL weight: the runs differ in more than it, or are not trained "
            "to the end"
        )
    else:
        trend = "the rate falls as the KL weight rises"
    return "\n".join([*lines, f"{trend}; the best ELBO is that of {best.name}"]) + "\n"

"""Figures of a posterior: the marginals of its quantities and their pairs, beside reference draws where there are."""

from collections.abc import Mapping, Sequence

import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import Tensor

from jensen.experiments.report.drawing import colour, panels

MOST, ACROSS = 24, 4  # marginals, and how many stand side by side
PAIRED = 4  # quantities, from the first
POINTS = 1000  # of a pair
BINS = 40
SEEN = torch.tensor([0.002, 0.998], dtype=torch.float64)  # between these quantiles
REFERENCE = "reference"


def marginals(name: str, draws: Mapping[str, Tensor], reference: Mapping[str, Tensor]) -> Figure:
    """A density of each quantity, of draws (s,)."""
    shown = list(draws)[:MOST]
    across = min(ACROSS, len(shown))
    rows = -(-len(shown) // across)
    figure, axes = panels(rows, across, 2.6 * across, 1.9 * rows + 0.3)
    for axis in axes.flat[len(shown) :]:
        axis.set_axis_off()
    for axis, each in zip(axes.flat, shown, strict=False):
        _marginal(axis, _sets(name, each, draws, reference))
        axis.set_title(each, fontsize=9)
        axis.tick_params(labelsize=7)
    _legend(figure, axes.flat[0], f"{MOST} of {len(draws)} quantities" if len(draws) > MOST else "")
    return figure


def pairs(name: str, draws: Mapping[str, Tensor], reference: Mapping[str, Tensor]) -> Figure:
    """The first quantities against each other, draws below the diagonal and reference draws above it.

    Where there are reference draws, of quantities that have them.
    """
    shown = [each for each in draws if each in reference or not reference][:PAIRED]
    side = len(shown)
    figure, axes = panels(side, side, 2.2 * side, 2.1 * side)
    for i, row in enumerate(shown):
        for j, column in enumerate(shown):
            axis = axes[i, j]
            axis.tick_params(labelsize=7)
            if i == side - 1:
                axis.set_xlabel(column, fontsize=9)
            if j == 0:
                axis.set_ylabel(row, fontsize=9)
            if i == j:
                _marginal(axis, _sets(name, row, draws, reference))
                axis.set_yticks([])
                continue
            above = i < j
            if above and not (row in reference and column in reference):
                axis.set_axis_off()
                continue
            source = reference if above else draws
            axis.scatter(source[column][:POINTS], source[row][:POINTS], s=3, alpha=0.4, linewidths=0,
                         color=colour(int(above)))  # fmt: skip
            axis.set_xlim(_limits([s[column] for s in (draws, reference) if column in s]))
            axis.set_ylim(_limits([s[row] for s in (draws, reference) if row in s]))
    _legend(figure, axes[0, 0])
    return figure


def _sets(name: str, quantity: str, draws: Mapping[str, Tensor], reference: Mapping[str, Tensor]) -> dict[str, Tensor]:
    both = {name: draws[quantity]}
    return {**both, REFERENCE: reference[quantity]} if quantity in reference else both


def _marginal(axis: Axes, sets: Mapping[str, Tensor]) -> None:
    low, high = _limits(list(sets.values()))
    for i, (name, t) in enumerate(sets.items()):
        height, edges = torch.histogram(t.double().cpu(), BINS, range=(low, high))
        density = height / (len(t) * (edges[1] - edges[0]))
        axis.stairs(density.numpy(), edges.numpy(), color=colour(i), fill=i == 0, alpha=0.5 if i == 0 else 1.0,
                    label=name)  # fmt: skip
    axis.set_xlim(low, high)
    axis.set_yticks([])


def _limits(sets: Sequence[Tensor]) -> tuple[float, float]:
    """The widest of the sets' ranges, without the outermost draws and within all: a scale has no bar below 0."""
    ends = torch.stack([torch.quantile(t.double().cpu(), SEEN) for t in sets])
    low, high = ends[:, 0].min().item(), ends[:, 1].max().item()
    wide = high - low or abs(low) or 1.0
    least, most = min(t.min().item() for t in sets), max(t.max().item() for t in sets)
    if least == most:
        return low - 0.05 * wide, high + 0.05 * wide
    return max(low - 0.05 * wide, least), min(high + 0.05 * wide, most)


def _legend(figure: Figure, axis: Axes, title: str = "") -> None:
    handles, names = axis.get_legend_handles_labels()
    figure.legend(handles, names, loc="outside upper center", ncols=len(names), fontsize=8, frameon=False,
                  title=title or None, title_fontsize=8)  # fmt: skip

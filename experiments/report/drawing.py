"""Drawing without a window or global state: figures are values, and lines differ by marker and name beside colour."""

import io
import math
from collections.abc import Sequence
from typing import Any, TypeGuard, cast

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.container import ErrorbarContainer
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.typing import ColorType

MARKERS = "osD^vP*X<>"
NAME_HEIGHT = 0.14  # inches between the names of neighbouring lines


def panels(rows: int, columns: int, width: float, height: float) -> tuple[Figure, np.ndarray]:
    """A figure of that many inches, and its axes (rows, columns)."""
    figure = Figure(figsize=(width, height), layout="constrained")
    return figure, figure.subplots(rows, columns, squeeze=False)


def png(figure: Figure) -> bytes:
    """The figure as a file; the same figure gives the same bytes."""
    drawn = io.BytesIO()
    figure.savefig(drawn, format="png", dpi=120)
    return drawn.getvalue()


def line(
    axis: Axes,
    x: Sequence[float],
    y: Sequence[float | None],
    name: str,
    style: int,
    errors: Sequence[float | None] | None = None,
    **options: Any,
) -> None:
    """y against x with a colour and a marker of its own; what is not finite is left out. Nothing where all is."""
    shown = [(x[i], value, i) for i, value in enumerate(y) if is_finite(value)]
    if not shown:
        return
    bars = None if errors is None else [errors[i] or 0.0 for _, _, i in shown]
    look = {"marker": MARKERS[style % len(MARKERS)], "markersize": 3.5, "linewidth": 1.2, **options}
    axis.errorbar([x for x, *_ in shown], [y for _, y, _ in shown], bars, color=colour(style), label=name, **look)


def colour(style: int) -> ColorType:
    return mpl.colormaps["tab20"]((2 * style + style // 10) % 20)  # the ten strong colours, then the ten light ones


def name_ends(axis: Axes) -> None:
    """Each labelled line's name at its right end, moved apart where they would overlap."""
    axis.autoscale_view()  # limits are else those before the lines
    to_axes = axis.transScale + axis.transLimits
    ends = []
    for handle, name in zip(*axis.get_legend_handles_labels(), strict=True):
        drawn = cast(Line2D, handle[0] if isinstance(handle, ErrorbarContainer) else handle)
        x, y = (np.asarray(values)[-1] for values in drawn.get_data())
        ends.append((to_axes.transform((x, y))[1], (x, y), name, drawn.get_color()))
    ends.sort(key=lambda end: end[0])
    height = 0.8 * cast(Figure, axis.get_figure(root=True)).get_figheight() * axis.get_position().height
    places = apart([end[0] for end in ends], NAME_HEIGHT / height)
    for place, (_, end, name, ink) in zip(places, ends, strict=True):
        lead = {"arrowstyle": "-", "color": ink, "linewidth": 0.5}
        axis.annotate(name, end, (1.03, place), textcoords="axes fraction", va="center", fontsize=7, color=ink,
                      arrowprops=lead, annotation_clip=False)  # fmt: skip


def apart(places: Sequence[float], gap: float) -> list[float]:
    """Rising places moved as little as may be, in squares, so that each is at least the gap above the last."""
    blocks: list[list[float]] = []  # of places that touch, as if without gaps: each moves to their mean
    for i, place in enumerate(places):
        blocks.append([place - i * gap])
        while len(blocks) > 1 and np.mean(blocks[-2]) >= np.mean(blocks[-1]):
            last = blocks.pop()
            blocks[-1] += last
    means = [float(np.mean(block)) for block in blocks for _ in block]
    return [mean + i * gap for i, mean in enumerate(means)]


def is_finite(value: object) -> TypeGuard[float]:
    """Whether it is a number that can be drawn: not None, NaN or infinite."""
    return isinstance(value, int | float) and math.isfinite(value)

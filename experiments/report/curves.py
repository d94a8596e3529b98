"""The curves of a run, from its rows of metrics: a panel per term, training beside held-out data."""

from collections.abc import Mapping, Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from jensen.experiments.report.drawing import MARKERS, is_finite, name_ends, panels
from jensen.experiments.run.program import Row

COUNTS = ("step", "epoch", "skipped")
FIRST = ("objective", "score", "loss", "reconstruction", "kl", "penalty")  # then other terms
NATS = ("objective", "reconstruction", "kl", "penalty")
LAST = ("norm", "weight", "lr")  # of prefixes, without a unit
TITLES = {"kl": "KL", "norm": "norm of gradients", "lr": "learning rate"}
COLUMNS = 3
Series = dict[str, tuple[list[float], list[float]]]  # by name: steps and values


def training(rows: Sequence[Row]) -> Figure:
    """A panel for the objective and the held-out score, one for each other term, one for what shares a prefix.

    rows: of kind "train", means over the steps since the last, and of kind "held-out", the score at each epoch's end.
    A term has an axis of its own, for a KL of 3 is flat beside a reconstruction of 90; "norm/model" and
    "norm/baseline" share one. What is 0 throughout has none, nor has the loss where it is minus the objective. An
    objective that is not the ELBO, for it has a penalty, is drawn beside the ELBO, which held-out scores compare with.
    """
    found = collected(rows)
    height = -(-max(1, len(found)) // COLUMNS)
    figure, axes = panels(height, COLUMNS, 4.2 * COLUMNS, 2.9 * height)
    for axis in axes.flat[len(found) :]:
        axis.set_axis_off()
    for axis, (title, series) in zip(axes.flat, found.items(), strict=False):
        panel(axis, title, series)
    return figure


def collected(rows: Sequence[Row]) -> dict[str, Series]:
    """By panel, each series' steps and finite values; the panel of the held-out score is the first."""
    names = {key for row in rows for key in row}
    first = "score" if "loss" in names and "objective" not in names else "objective"
    found: dict[str, Series] = {first: {}}

    def add(title: str, name: str, step: object, value: object) -> None:
        if is_finite(step) and is_finite(value):
            steps, values = found.setdefault(title, {}).setdefault(name, ([], []))
            steps.append(step)
            values.append(value)

    for row in rows:
        for key, value in row.items():
            if key == "score":
                add(first, "held-out", row["step"], value)
            elif key == "objective":
                add(first, "training", row["step"], value)
            elif "/" in key:
                title, _, name = key.partition("/")
                add(title, name, row["step"], value)
            elif key not in COUNTS and not (key == "loss" and first == "objective"):
                add(key, key, row["step"], value)
        objective, penalty = row.get("objective"), row.get("penalty")
        if is_finite(objective) and is_finite(penalty) and penalty:
            add(first, "training ELBO", row["step"], objective + penalty)
    kept = [title for title in found if title == first or any(any(values) for _, values in found[title].values())]
    return {title: found[title] for title in sorted(kept, key=place)}


def place(title: str) -> int:
    """Where a panel stands among the others."""
    if title in LAST:
        return len(FIRST) + 1 + LAST.index(title)
    return FIRST.index(title) if title in FIRST else len(FIRST)


def panel(axis: Axes, title: str, series: Mapping[str, tuple[list[float], list[float]]]) -> None:
    for i, (name, (steps, values)) in enumerate(sorted(series.items(), reverse=True)):
        few = len(steps) <= 40
        look = {"marker": MARKERS[i] if few or name == "held-out" else None, "markersize": 3.5, "color": f"C{i}"}
        axis.plot(steps, values, label=name, linewidth=1.2, markevery=1 if few else len(steps) // 20, **look)
    drawn = [value for _, values in series.values() for value in values]
    if title == "norm" and drawn and 0 < 10 * min(drawn) < max(drawn):
        axis.set_yscale("log")
    elif title in ("objective", "score", "reconstruction") and drawn:
        axis.set_ylim(bottom=min(low(values) for _, values in series.values()))
    unit = "nats per datum" if title in NATS else ""
    alone = f": {next(iter(series))}" if title in LAST and len(series) == 1 else ""
    state = ", and of the state" if title == "norm" and "state" in series else ""
    axis.set(title=f"{TITLES.get(title, title)}{state}{alone}", xlabel="step", ylabel=unit)
    axis.grid(alpha=0.25)
    axis.locator_params(axis="x", nbins=5)
    if not drawn:
        axis.text(0.5, 0.5, "no finite value", transform=axis.transAxes, ha="center", color="0.4")
    elif len(series) > 1:
        name_ends(axis)


def low(values: Sequence[float]) -> float:
    """Leaves the first steps of a rising curve below the axis: they would flatten the rest."""
    settled = sorted(values)[len(values) // 50 :]
    return settled[0] - (0.05 * (settled[-1] - settled[0]) or 1.0)

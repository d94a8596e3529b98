"""The figures of a run: training curves, reconstructions, prior samples, the latent space."""

import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import matplotlib as mpl
import torch
from matplotlib.figure import Figure
from torch import Tensor

from jensen.core import keys
from jensen.core.distributions import DiagNormal
from jensen.core.models import Model
from jensen.core.models.sbn import SBN
from jensen.core.trees import Params
from jensen.experiments import runs
from jensen.experiments.data import Images
from jensen.experiments.evaluation import posterior_means

mpl.use("Agg")
from matplotlib import pyplot as plt

FIGURES = "figures"


@torch.no_grad()
def draw_all(
    folder: Path, rows: Sequence[dict[str, Any]], model: Model, params: Params, images: Images, objective: str = "bound"
) -> list[Path]:
    """Draws every figure into folder/figures; the files it wrote. `objective` names what was maximised."""
    target = folder / FIGURES
    runs.make(target, f"move it away, then --resume {folder}")
    drawn = {
        "training": training(rows, objective),
        "reconstructions": reconstructions(model, params, images),
        "samples": samples(model, params, images),
        "latent": latent(model, params, images),
    }
    for name, figure in drawn.items():
        save(figure, target / f"{name}.png", runs.resumed(folder))
    return [target / f"{name}.png" for name in drawn]


def save(figure: Figure, path: Path, onwards: str = runs.AGAIN) -> None:
    """Writes the figure whole or not at all, and closes it."""
    drawn = io.BytesIO()
    figure.savefig(drawn, dpi=120, bbox_inches="tight")
    plt.close(figure)
    runs.write_atomically(path, drawn.getvalue(), onwards)


def training(rows: Sequence[dict[str, Any]], objective: str = "bound") -> Figure:
    """The objective and the ELBO's two terms against the step, and the gradient's norm."""
    rows = [row for row in rows if row["objective"] is not None]
    steps, elbo = [row["step"] for row in rows], [row["reconstruction"] - row["kl"] for row in rows]
    figure, axes = plt.subplots(1, 3, figsize=(12, 3.2), layout="constrained")
    series = [
        (objective, {"objective": "objective", "ELBO": None}),
        ("terms", {"−reconstruction": "reconstruction", "KL": "kl"}),
        ("gradient norm", {"gradient norm": "gradient_norm"}),
    ]
    for axis, (title, lines) in zip(axes, series, strict=True):
        for label, name in lines.items():
            values = [row[name] for row in rows] if name else elbo
            values = [-v for v in values] if label.startswith("−") else values
            axis.plot(steps, values, label=label, linewidth=1.2, linestyle="--" if label == "ELBO" else "-")
        axis.set(title=title, xlabel="step", ylabel="" if title == "gradient norm" else "nats per datum")
        axis.legend(frameon=False)
        axis.grid(alpha=0.25)
        axis.locator_params(axis="x", nbins=5)
    if rows:
        axes[0].set_ylim(bottom=min(_low([row["objective"] for row in rows]), _low(elbo)))
    return figure


def _low(values: Sequence[float]) -> float:
    """Leaves the first steps of the curve out of the axis: they would flatten the rest."""
    settled = sorted(values)[len(values) // 50 :]
    margin = 0.05 * (settled[-1] - settled[0]) or 1.0
    return settled[0] - margin


def reconstructions(model: Model, params: Params, images: Images, count: int = 12) -> Figure:
    """Test data above their reconstructions: from the posterior's mean, or the mean over samples of discrete units."""
    x = spread(images.test, count)
    q = model.posterior(params["encoder"], x)
    z = q.loc[None] if isinstance(q, DiagNormal) else q.sample(q.noise(keys.key(0, x.device), 100))
    rebuilt = expected(model, params, z).mean(0)
    return grid([x, rebuilt], images, ["data", "reconstruction"], "Test data, reconstructed")


def samples(model: Model, params: Params, images: Images, side: int = 8) -> Figure:
    """Mean images of draws from the prior."""
    z = model.sample_prior(params["decoder"], keys.key(0, images.test.device), side * side)
    rows = expected(model, params, z)[0].split(side)
    return grid(rows, images, [""] * side, "Samples from the prior (means of p(x | z))")


def latent(model: Model, params: Params, images: Images) -> Figure:
    """What the latent variables stand for."""
    if isinstance(model, SBN):
        return effects(model, params, images)
    return scatter(model, params, images) if model.latent == 2 else traversal(model, params, images)


def effects(model: SBN, params: Params, images: Images, side: int = 8, data: int = 50) -> Figure:
    """What each of the most active units adds to the mean image: that with it on less that with it off.

    A mean over test data and their other units; units of the first layer, the most active first.
    """
    x = spread(images.test, data)
    q = model.posterior(params["encoder"], x)
    z = q.sample(q.noise(keys.key(0, x.device), 1))
    side = min(side, model.units)
    activity = posterior_means(model, params, images.test).var(0)[: model.units]
    units = activity.argsort(descending=True)[: side * min(side, model.units // side), None, None]
    on, off = (z.expand(len(units), -1, -1).scatter(2, units.expand(-1, len(x), 1), to) for to in (1.0, 0.0))
    change = (expected(model, params, on) - expected(model, params, off)).mean(1)
    rows, extent = change.split(side), float(change.abs().max())
    title = "What the most active units add to the mean image (blue) or take (red)"
    return grid(rows, images, [""] * len(rows), title, "RdBu", (-extent, extent))


def traversal(model: Model, params: Params, images: Images, count: int = 8, steps: int = 11) -> Figure:
    """The most active dimensions, each from -3 to 3 while the others stay at one datum's posterior mean."""
    means = posterior_means(model, params, images.test).to(images.test.dtype)
    dims = means.float().var(0).argsort(descending=True)[: min(count, model.latent)].tolist()
    z = means[0].repeat(len(dims), steps, 1)
    for row, dim in enumerate(dims):
        z[row, :, dim] = torch.linspace(-3, 3, steps).to(z)
    return grid(list(expected(model, params, z)), images, [f"z[{d}]" for d in dims], "Most active dimensions, −3 … 3")


def scatter(model: Model, params: Params, images: Images) -> Figure:
    """Posterior means of test data in a two-dimensional latent space, by label."""
    means = posterior_means(model, params, images.test)
    figure, axis = plt.subplots(figsize=(5, 4.5), layout="constrained")
    points = axis.scatter(*means.T.cpu().numpy(), c=images.test_labels.numpy(), cmap="tab10", s=6, vmin=-0.5, vmax=9.5)
    figure.colorbar(points, ticks=range(10), label="label")
    axis.set(title="Posterior means of test data", xlabel="z[0]", ylabel="z[1]")
    return figure


def expected(model: Model, params: Params, z: Tensor) -> Tensor:
    """The mean of p(x | z): z (s, n, d) -> (s, n, D)."""
    observation = model.observation(params["decoder"], z)
    return observation.mean()


def spread(x: Tensor, count: int) -> Tensor:
    """`count` of the data, from first to last: some test sets are sorted by class."""
    return x[:: max(1, len(x) // count)][:count]


def grid(
    rows: Sequence[Tensor],
    images: Images,
    labels: Sequence[str],
    title: str,
    colours: str = "gray_r",
    limits: tuple[float, float] = (0.0, 1.0),
) -> Figure:
    """Images in a grid, one tensor (columns, D) per row."""
    columns = len(rows[0])
    figure, axes = plt.subplots(
        len(rows), columns, figsize=(0.75 * columns + 0.5, 0.75 * len(rows) + 0.5), squeeze=False, layout="constrained"
    )
    for line, row, label in zip(axes, rows, labels, strict=True):
        for axis, image in zip(line, row, strict=True):
            axis.imshow(
                image.float().reshape(images.shape)[0].cpu().numpy(), cmap=colours, vmin=limits[0], vmax=limits[1]
            )
            axis.set(xticks=[], yticks=[])
        line[0].set_ylabel(label, rotation=0, ha="right", va="center")
    figure.suptitle(title, fontsize=10)
    return figure

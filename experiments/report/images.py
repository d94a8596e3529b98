"""Pictures of what a latent-variable model makes of images: reconstructions and draws from the prior."""

import math
from collections.abc import Sequence
from typing import NamedTuple, Protocol

import matplotlib as mpl
import torch
from einops import rearrange
from matplotlib.figure import Figure
from torch import Tensor
from torch.nn import functional as F

from jensen.core import keys
from jensen.core.contracts import ClosedForm, Event, Key, LatentModel, can
from jensen.core.trees import Params
from jensen.experiments.report.chunks import Averaged
from jensen.experiments.report.drawing import panels

SAMPLES = 100  # of a posterior whose mean has no closed form, or is no value of z


class Shaped(Protocol):
    """What has the shape of an image: channels, of which the first is drawn, height, width."""

    @property
    def shape(self) -> tuple[int, int, int]: ...


class Shape(NamedTuple):
    """That alone."""

    shape: tuple[int, int, int]


class Images(Shaped, Protocol):
    """Images (n, D), test labels (n,), and the shape of one."""

    @property
    def train(self) -> Tensor: ...
    @property
    def test(self) -> Tensor: ...
    @property
    def test_labels(self) -> Tensor: ...


def reconstructions(model: LatentModel, params: Params, images: Images, count: int = 12) -> Figure:
    """Test data above their reconstructions: from the posterior's mean, or the mean over samples of discrete units."""
    x = spread(images.test, count)
    q = model.posterior(params, x)
    if can(q, ClosedForm) and q.reparameterised:
        z = q.mean()[None]
    else:
        z = q.sample(q.noise(keys.key(0, x.device), SAMPLES))
    return compared(x, expected(model, params, z).mean(0), images)


def compared(x: Tensor, reconstruction: Tensor, images: Images) -> Figure:
    """Data (n, D) above their reconstructions."""
    labels, title = ["data", "reconstruction"], "Test data, reconstructed"
    return grid([x, reconstruction], images, labels, title, limits=shades(images.test))


def samples(model: LatentModel, params: Params, images: Images, side: int = 8) -> Figure:
    """Mean images of draws from the prior."""
    rows = prior_means(model, params, keys.key(0, images.test.device), side * side).split(side)
    title = "Samples from the prior (means of p(x | z))"
    return grid(rows, images, [""] * side, title, limits=shades(images.test))


def prior_means(model: LatentModel, params: Params, key: Key, n: int) -> Tensor:
    """Means of p(x | z) at draws z of the prior, (n, D)."""
    p = model.prior(params, n)
    return expected(model, params, p.sample(p.noise(key, 1)))[0]


def expected(model: LatentModel, params: Params, z: Event) -> Tensor:
    """The mean of p(x | z): z (s, n, *event) -> (s, n, D)."""
    likelihood = model.likelihood(params, z)
    if not isinstance(likelihood, Averaged):
        raise TypeError(f"expected p(x | z) with a mean to draw, got {type(likelihood).__name__}: give it mean()")
    return likelihood.mean()


def tiled(
    x: Tensor, shape: tuple[int, int, int], title: str, columns: int | None = None,
    limits: tuple[float, float] = (0.0, 1.0),
) -> Figure:  # fmt: skip
    """Images (n, D) row after row, in as many rows as columns unless those are given."""
    rows = x.split(columns or math.ceil(len(x) ** 0.5))
    return grid(rows, Shape(shape), [""] * len(rows), title, limits=limits)


def shades(x: Tensor) -> tuple[float, float]:
    """The range of a grey scale: [0, 1], or for data with values below 0 what 99 % of them are within."""
    if x.min() >= 0:
        return 0.0, 1.0
    most = x.flatten()[:100_000].abs().float().quantile(0.99).item()
    return -most, most


def spread(x: Tensor, count: int) -> Tensor:
    """`count` of the data, from first to last: some test sets are sorted by class."""
    return x[:: max(1, len(x) // count)][:count]


def grid(
    rows: Sequence[Tensor],
    images: Shaped,
    labels: Sequence[str],
    title: str,
    colours: str = "gray_r",
    limits: tuple[float, float] = (0.0, 1.0),
    bar: str = "",
) -> Figure:
    """Images in a grid, one tensor (columns, D) per row; `bar` is what a colour bar measures, if there is one."""
    height = images.shape[1]
    columns = max(map(len, rows))
    filled = torch.stack([F.pad(row.float(), (0, 0, 0, columns - len(row)), value=torch.nan) for row in rows])
    pictures = filled.reshape(len(rows), columns, *images.shape)[:, :, 0]
    apart = F.pad(pictures, (1, 1, 1, 1), value=torch.nan)
    mosaic = rearrange(apart, "rows columns height width -> (rows height) (columns width)").cpu().numpy()
    figure, axes = panels(1, 1, 0.7 * columns + 1.0 + bool(bar), 0.7 * len(rows) + 0.6)
    axis = axes[0, 0]
    shades = mpl.colormaps[colours].with_extremes(bad=(1, 1, 1, 0))
    shown = axis.imshow(mosaic, cmap=shades, vmin=limits[0], vmax=limits[1], interpolation="nearest")
    axis.set_xticks([])
    axis.set_yticks([(i + 0.5) * (height + 2) - 0.5 for i in range(len(rows))], labels, fontsize=8)
    axis.tick_params(length=0)
    axis.spines[:].set_visible(False)
    if bar:
        figure.colorbar(shown, ax=axis, label=bar, shrink=0.9)
    axis.set_title(title, fontsize=10)
    return figure

"""What latent variables stand for: a plane of posterior means, a walk along each dimension, the effect of a unit."""

import torch
from matplotlib.figure import Figure
from torch import Tensor

from jensen.core import keys
from jensen.core.contracts import LatentModel
from jensen.core.trees import Params
from jensen.experiments.report.chunks import posterior_means
from jensen.experiments.report.drawing import panels
from jensen.experiments.report.images import Images, expected, grid, reconstructions, samples, shades, spread

ACTIVE = 0.01  # a variance over data of posterior means above it is that of an active unit (Burda et al., 2016)
UNITS = 32  # whose effects are computed at once


@torch.no_grad()
def latent_figures(model: LatentModel, params: Params, images: Images) -> dict[str, Figure]:
    """Every figure of a model of images, by name; from test data, whose first axis may be 1."""
    return {
        "reconstructions": reconstructions(model, params, images),
        "samples": samples(model, params, images),
        "latent": latent(model, params, images),
    }


def latent(model: LatentModel, params: Params, images: Images) -> Figure:
    """The figure that fits z: `effects` of discrete units, `scatter` of two dimensions, else `traversal`."""
    means = posterior_means(model, params, images.test)
    if not model.posterior(params, images.test[:1]).reparameterised:
        return effects(model, params, images, means)
    return scatter(images, means) if means.shape[1] == 2 else traversal(model, params, images, means)


def variances(means: Tensor) -> Tensor:
    """Of each dimension over data, (d,); 0 for one datum."""
    return means.float().var(0, correction=min(1, len(means) - 1))


def traversal(
    model: LatentModel, params: Params, images: Images, means: Tensor, count: int = 8, steps: int = 11
) -> Figure:
    """The dimensions of the largest variances, each from -3 to 3, the others at one datum's posterior mean."""
    variance = variances(means)
    dims = variance.argsort(descending=True)[:count].tolist()
    z = means[0].to(images.test.dtype).repeat(len(dims), steps, 1)
    for row, dim in enumerate(dims):
        z[row, :, dim] = torch.linspace(-3, 3, steps).to(z)
    labels = [f"z[{dim}], variance {variance[dim]:.2g}" for dim in dims]
    title = f"{counted(variance)}; the largest variances first, −3 … 3"
    return grid(list(expected(model, params, z)), images, labels, title, limits=shades(images.test))


def counted(variance: Tensor) -> str:
    """How many dimensions are active, of those whose variances these are."""
    active, d = int((variance > ACTIVE).sum()), len(variance)
    if not active:
        return f"No dimension of {d} is active (variance of posterior means above {ACTIVE:g})"
    return f"{active} of {d} dimensions active"


def scatter(images: Images, means: Tensor) -> Figure:
    """Posterior means of test data in a two-dimensional latent space, each drawn as its label."""
    figure, axes = panels(1, 1, 5.5, 5)
    axis = axes[0, 0]
    for label in images.test_labels.unique().tolist():
        points = means[images.test_labels.to(means.device) == label].cpu()
        axis.scatter(*points.T.numpy(), marker=f"${label:g}$", s=26, linewidth=0.3, color=f"C{int(label) % 10}")
    axis.set(title=f"Posterior means of test data; {counted(variances(means))}", xlabel="z[0]", ylabel="z[1]")
    axis.title.set_fontsize(9)
    return figure


def effects(model: LatentModel, params: Params, images: Images, means: Tensor, side: int = 8, data: int = 50) -> Figure:
    """What each of the most active units adds to the mean image: that with it on less that with it off.

    A mean over test data and their other units, the most active first; units that p(x | z) does not depend on, those
    of upper layers, are left out.
    """
    x = spread(images.test, data)
    q = model.posterior(params, x)
    z = q.sample(q.noise(keys.key(0, x.device), 1))
    variance, shown = variances(means), []
    for units in variance.argsort(descending=True).split(UNITS):
        on, off = (
            z.expand(len(units), -1, -1).scatter(2, units[:, None, None].expand(-1, len(x), 1), to) for to in (1.0, 0.0)
        )
        change = (expected(model, params, on) - expected(model, params, off)).mean(1)
        shown += list(change[change.abs().amax(1) > 0])
        if len(shown) >= side * side:
            break
    change = torch.stack(shown[: side * side]) if shown else torch.zeros(1, images.test.shape[1])
    rows, extent = change.split(side), float(change.abs().max()) or 1.0
    title = "What the most active units add to the mean image"
    if not (variance > ACTIVE).any():
        title = f"No unit of {len(variance)} is active: what those of the largest variances add to the mean image"
    return grid(rows, images, [""] * len(rows), title, "RdBu", (-extent, extent), "on − off")

"""Pictures of what a conditional model makes of its conditions."""

import torch
from einops import repeat
from matplotlib.figure import Figure
from torch import Tensor

from jensen.core.contracts import Key
from jensen.core.models.latent.cvae import CVAE
from jensen.core.trees import Params
from jensen.experiments.report.images import Averaged, Images, grid, spread


@torch.no_grad()
def by_condition(model: CVAE, params: Params, images: Images, key: Key, rows: int = 8) -> Figure:
    """Mean images of each one-hot condition at the same draws of z."""
    c = torch.eye(model.condition, device=images.test.device, dtype=images.test.dtype)
    p = model.prior(params, 1)
    z = p.sample(p.noise(key, rows)).expand(-1, len(c), -1)
    pictures = means(model, params, z, c.expand(rows, -1, -1))
    return grid(list(pictures), images, [""] * rows, "One draw of z per row, one class per column (means)")


@torch.no_grad()
def completions(model: CVAE, params: Params, images: Images, key: Key, count: int = 12, draws: int = 4) -> Figure:
    """Test images, each with its lower half as it is and as it is drawn given the upper one."""
    x, c = model.parts(spread(images.test, count))
    p = model.prior(params, len(x))
    pictures = means(model, params, p.sample(p.noise(key, draws)), repeat(c, "n c -> s n c", s=draws))
    whole = [torch.cat([c, lower], -1) for lower in (x, *pictures)]
    labels = ["data", *["given the upper half"] * draws]
    return grid(whole, Whole(images), labels, "Test images, and their lower halves given the upper (means)")


class Whole:
    """Images of which `shape` is that of both halves together."""

    def __init__(self, lower: Images):
        channels, height, width = lower.shape
        above = (lower.test.shape[1] // (channels * width)) - height
        self.train, self.test, self.test_labels = lower.train, lower.test, lower.test_labels
        self.shape = (channels, above + height, width)


def means(model: CVAE, params: Params, z: Tensor, c: Tensor) -> Tensor:
    """The mean of p(x | z, c)."""
    likelihood = model.given(params, z, c)
    assert isinstance(likelihood, Averaged)
    return likelihood.mean()

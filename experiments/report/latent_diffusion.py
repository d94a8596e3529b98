"""What a diffusion in a model's latents is worth on test data: its ELBO beside the model's own, and images of both."""

import math
from collections.abc import Callable
from typing import NamedTuple, TypeAlias

import torch
from matplotlib.figure import Figure
from torch import Tensor

from jensen.core import keys
from jensen.core.contracts import Key
from jensen.core.models.transport.latent_diffusion import First, LatentDiffusion
from jensen.core.trees import Params
from jensen.experiments.report.chunks import ROWS, Rows, over_data
from jensen.experiments.report.images import Images, grid, prior_means, shades, spread
from jensen.experiments.run.program import Finding

Given: TypeAlias = Callable[[Tensor], LatentDiffusion]
BOUNDED = 1000  # test data at most, from first to last
COLUMNS, LINES = 12, 3  # of the figure


class LatentEvaluation(NamedTuple):
    """Means over test data in nats per datum, by one draw of q for each, the same with both priors."""

    reconstruction: float
    elbo: float  # with the diffusion in place of the prior
    own_elbo: float  # the model's
    gain_error: float  # the standard error of `gain`, over data
    pixels: int
    data: int

    @property
    def gain(self) -> float:
        """What the diffusion's bound is above the model's."""
        return self.elbo - self.own_elbo

    def finding(self) -> Finding:
        """A table of one screen; its last line says so where the model's own prior is as good."""
        lines = [
            f"{f'{self.data} test data, nats':<28}{'diffusion':>9}   own prior",
            f"{'−ELBO':<28}{-self.elbo:>9.2f}   {-self.own_elbo:.2f}",
            f"{'  = reconstruction':<28}{-self.reconstruction:>9.2f}   {-self.reconstruction:.2f}",
            f"{'  + rate':<28}{self.reconstruction - self.elbo:>9.2f}   {self.reconstruction - self.own_elbo:.2f}",
            f"{'gain':<28}{self.gain:>9.2f} ± {self.gain_error:.2f}",
            f"{'bits/dim are at most':<28}{self._bits(self.elbo):>9.3f}   {self._bits(self.own_elbo):.3f}",
        ]
        if not self.gain > 2 * self.gain_error:
            lines.append("no better than the model's own prior: train longer, or keep fewer nats in the latents")
        row = {**self._asdict(), "gain": self.gain, "bits_per_dim": self._bits(self.elbo)}
        return Finding("test", [row], "\n".join(lines) + "\n")

    def _bits(self, elbo: float) -> float:
        return -elbo / self.pixels / math.log(2)


@torch.no_grad()
def evaluate_latents(
    model: LatentDiffusion, params: Params, first: First, x: Tensor, key: Key, given: Given | None = None
) -> LatentEvaluation:
    """Evaluates on x (n, D), of which it takes BOUNDED at most.

    `given` is the model of some of these rows, where it is not one for all.
    """
    rows = spread(torch.arange(len(x), device=x.device), min(BOUNDED, len(x)))

    def terms(rows: Tensor, key: Key) -> Rows:
        of_rows = model if given is None else given(rows)
        bound = of_rows.bound(params, first, x[rows], key)
        return tuple(t.double() for t in (bound.reconstruction, bound.elbo, bound.own_elbo))

    chunk = max(1, ROWS // model.prior.levels.steps)
    reconstruction, elbo, own = over_data(terms, rows, key, chunk)
    return LatentEvaluation(
        reconstruction=reconstruction.mean().item(),
        elbo=elbo.mean().item(),
        own_elbo=own.mean().item(),
        gain_error=((elbo - own).std() / len(rows) ** 0.5).item(),
        pixels=x.shape[1],
        data=len(rows),
    )


@torch.no_grad()
def samples(
    model: LatentDiffusion, first: First, draw: Callable[[int], Tensor], images: Images, columns: int | None = None
) -> Figure:
    """Test data, means of p(x | z) at draws of the model's own prior, and at draws of the diffusion, a block each."""
    columns = columns or COLUMNS
    count = columns * LINES
    own = prior_means(model.model, first.params, keys.key(0, images.test.device), count)
    blocks = {"data": spread(images.test, count), "own prior": own, "diffusion": draw(count)}
    rows, labels = [], []
    for name, block in blocks.items():
        parts = block.split(columns)
        rows, labels = [*rows, *parts], [*labels, name, *[""] * (len(parts) - 1)]
    return grid(rows, images, labels, "Test data, and draws by either prior", limits=shades(images.test))

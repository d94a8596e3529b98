"""Diffusions in a trained model's latents as programs: the noise in posterior draws, and images of latents drawn."""

from dataclasses import dataclass
from typing import NamedTuple

import torch
from matplotlib.figure import Figure
from torch import Tensor

from jensen.core import keys
from jensen.core.contracts import Key
from jensen.core.models.transport.latent_diffusion import LatentDiffusion
from jensen.core.trees import Params, Tree
from jensen.experiments.data.batches import Epochs
from jensen.experiments.data.images import Images
from jensen.experiments.data.pixels import binarise
from jensen.experiments.programs.one_turn import OneTurn
from jensen.experiments.report.images import expected
from jensen.experiments.report.latent_diffusion import evaluate_latents, samples
from jensen.experiments.run.optimisers import Optimiser
from jensen.experiments.run.program import Batch, Finding, Out, Row, Weights


class Encoded(NamedTuple):
    """Images, and the parameters of what encodes them: all that a run's digest of its data has."""

    images: Images
    params: Params


@dataclass(frozen=True)
class LatentDiffusionProgram(OneTurn):
    """One turn over the diffusion; the state is what the first stage left, which no step changes."""

    model: LatentDiffusion
    params: Params  # of the model whose latents these are
    dynamic: bool  # whether its pixels are drawn anew at each step
    batches: Epochs
    optimiser: Optimiser = Optimiser()
    title: str = ""  # of the report
    source: tuple[Row, ...] = ()  # which run the model is of

    def init(self, key: Key, data: Tensor, /) -> tuple[Params, Tree]:
        model_key, pixel_key, first_key = keys.split(key, 3)
        first = self.model.first(self.params, self.pixels(pixel_key, data), first_key)
        return {"model": self.model.init(model_key, data.dtype)}, {"first": first}

    def pixels(self, key: Key, x: Tensor) -> Tensor:
        """As the model of latents takes them."""
        return binarise(key, x) if self.dynamic else x

    def loss(self, params: Params, state: Tree, batch: Batch, key: Key, weights: Weights) -> Out:
        """The mean squared error of the noise in a draw of each datum's posterior."""
        pixel_key, loss_key = keys.split(key)
        loss = self.model.loss(params["model"], state["first"], self.pixels(pixel_key, batch["data"]), loss_key)
        return Out(loss.mean(), {"error": loss}, state)

    @torch.no_grad()
    def score(self, params: Params, state: Tree, batch: Tensor, key: Key, /) -> Tensor:
        """Minus the loss: the bound would take an evaluation for each of the diffusion's steps."""
        return -self.model.loss(params["model"], state["first"], batch, key)

    @torch.no_grad()
    def sample(self, params: Params, state: Tree, key: Key, n: int) -> Tensor:
        """(n, D), in the data's own units: the means of p(x | z) at z of the diffusion."""
        first = state["first"]
        return expected(self.model.model, first.params, self.model.sample(params["model"], first, key, n)[None])[0]

    @property
    def columns(self) -> int | None:
        """Of a picture of draws: one for each class, where there are any."""
        return None

    def figures(self, params: Params, state: Tree, data: Encoded, key: Key, /) -> dict[str, Figure]:
        def draw(n: int) -> Tensor:
            return self.sample(params, state, key, n)

        return {"samples": samples(self.model, state["first"], draw, data.images, self.columns)}

    def report(self, params: Params, state: Tree, data: Encoded, key: Key, /) -> list[Finding]:
        found = evaluate_latents(self.model, params["model"], state["first"], data.images.test, key)
        return [Finding("what", [*self.source], self.title), found.finding()]

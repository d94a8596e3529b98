"""Diffusions in a trained model's latents given labels, as programs whose draws are guided.

Some labels are left out of each step, so that the field is learned without them too.
"""

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from jensen.core import keys
from jensen.core.contracts import Key
from jensen.core.models.transport import guidance
from jensen.core.models.transport.guidance import Guided
from jensen.core.models.transport.latent_diffusion import LatentDiffusion
from jensen.core.models.transport.mixed import Mixed
from jensen.core.models.transport.noise_levels import NoiseLevels
from jensen.core.trees import Params, Tree
from jensen.experiments.programs.classes import in_turn
from jensen.experiments.programs.latent_diffusion import Encoded, LatentDiffusionProgram
from jensen.experiments.report.images import expected
from jensen.experiments.report.latent_diffusion import evaluate_latents
from jensen.experiments.run.program import Batch, Finding, Out, Weights


@dataclass(frozen=True, kw_only=True)
class LabelledLatentDiffusionProgram(LatentDiffusionProgram):
    """One turn over the diffusion, by data {"x": (n, D), "labels": (n,)}."""

    guided: Guided
    levels: NoiseLevels
    drop: float  # the share of labels that a step leaves out
    scale: float  # of the guidance of draws

    @property
    def columns(self) -> int | None:
        return self.guided.classes

    def given(self, labels: Tensor, scale: float = 0.0) -> LatentDiffusion:
        """The diffusion of data with these labels."""
        field = Mixed(self.guided.of(labels, scale), self.levels)
        return replace(self.model, prior=replace(self.model.prior, field=field))

    def init(self, key: Key, data: Tree, /) -> tuple[Params, Tree]:
        return super().init(key, data["x"])

    def loss(self, params: Params, state: Tree, batch: Batch, key: Key, weights: Weights) -> Out:
        """The mean squared error of the noise in a draw of each datum's posterior, given most labels."""
        pixel_key, drop_key, loss_key = keys.split(key, 3)
        data = batch["data"]
        x, labels = self.pixels(pixel_key, data["x"]), guidance.dropped(data["labels"], drop_key, self.drop)
        loss = self.given(labels).loss(params["model"], state["first"], x, loss_key)
        return Out(loss.mean(), {"error": loss}, state)

    @torch.no_grad()
    def score(self, params: Params, state: Tree, batch: Tree, key: Key, /) -> Tensor:
        """Minus the loss given every label."""
        return -self.given(batch["labels"]).loss(params["model"], state["first"], batch["x"], key)

    def sample(self, params: Params, state: Tree, key: Key, n: int) -> Tensor:
        """(n, D), in the data's own units: the means of p(x | z) at z of the diffusion, of each class in turn."""
        labels = in_turn(n, self.columns, key.device)
        assert labels is not None
        return self.sample_of(params, state, key, labels)

    @torch.no_grad()
    def sample_of(self, params: Params, state: Tree, key: Key, labels: Tensor) -> Tensor:
        """The same of these labels (n,)."""
        first = state["first"]
        z = self.given(labels, self.scale).sample(params["model"], first, key, len(labels))
        return expected(self.model.model, first.params, z[None])[0]

    def report(self, params: Params, state: Tree, data: Encoded, key: Key, /) -> list[Finding]:
        def given(rows: Tensor) -> LatentDiffusion:
            return self.given(data.images.test_labels[rows.to(data.images.test_labels.device)].to(rows.device))

        found = evaluate_latents(self.model, params["model"], state["first"], data.images.test, key, given)
        return [Finding("what", [*self.source], self.title), found.finding()]

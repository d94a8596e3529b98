"""Models with a likelihood that is exact as programs: one turn over minus log p(x)."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from matplotlib.figure import Figure
from torch import Tensor

from jensen.core import keys, trees
from jensen.core.contracts import DensityModel, Key
from jensen.core.trees import Params, Tree
from jensen.experiments.data.batches import Epochs
from jensen.experiments.programs.one_turn import OneTurn
from jensen.experiments.run.optimisers import Optimiser
from jensen.experiments.run.program import Batch, Finding, Out, Weights


@dataclass(frozen=True)
class MaximumLikelihood(OneTurn):
    """One turn over the model, without a state."""

    model: DensityModel
    batches: Epochs
    optimiser: Optimiser
    title: str  # of the report
    taken: Callable[[Tensor, Key], Tensor]  # what the model is given of data, which may have noise in it
    returned: Callable[[Tensor], Tensor]  # its draws in the data's own units
    drawn: Callable[[Params, Any, Key], dict[str, Figure]]  # of the model's parameters and data
    findings: Callable[[Params, Any, Key], list[Finding]]  # what the report says of them

    def init(self, key: Key, data: Tensor, /) -> tuple[Params, Tree]:
        model_key, data_key = keys.split(key)
        params = self.model.init(model_key, self.taken(data, data_key))
        return {"model": trees.map(lambda t: t.to(data.dtype), params)}, {}

    def loss(self, params: Params, state: Tree, batch: Batch, key: Key, weights: Weights) -> Out:
        """Minus the mean log p(x)."""
        log_p = self.score(params, state, batch["data"], key)
        return Out(-log_p.mean(), {"objective": log_p}, state)

    def score(self, params: Params, state: Tree, batch: Tensor, key: Key, /) -> Tensor:
        """log p(x) of each datum."""
        return self.model.log_prob(params["model"], self.taken(batch, key))

    def sample(self, params: Params, state: Tree, key: Key, n: int) -> Tensor:
        """n draws, in the data's own units."""
        return self.returned(self.model.sample(params["model"], key, n))

    @torch.no_grad()
    def figures(self, params: Params, state: Tree, data: Any, key: Key, /) -> dict[str, Figure]:
        return self.drawn(params["model"], data, key)

    @torch.no_grad()
    def report(self, params: Params, state: Tree, data: Any, key: Key, /) -> list[Finding]:
        return [Finding("what", [], f"{self.title}\n"), *self.findings(params["model"], data, key)]

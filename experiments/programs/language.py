"""Autoregressive models of text as programs: log p of windows from random places of one long text.

Data are rows of the text, one after another.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from jensen.core import keys
from jensen.core.contracts import Key
from jensen.core.models.autoregressive import sampling
from jensen.core.models.autoregressive.sequences import Autoregressive
from jensen.core.trees import Params, Tree
from jensen.experiments.data.batches import Windows
from jensen.experiments.data.text import Text, decoded
from jensen.experiments.programs.one_turn import OneTurn
from jensen.experiments.report import text as report
from jensen.experiments.run.optimisers import Optimiser
from jensen.experiments.run.program import Batch, Finding, Out, Weights

SAMPLE = 500  # symbols of the report's sample, or as many as the context holds


@dataclass(frozen=True)
class LanguageProgram(OneTurn):
    """One turn over the model, without a state."""

    model: Autoregressive
    batches: Windows
    optimiser: Optimiser
    title: str  # of the report
    dtype: torch.dtype = torch.float32  # of parameters

    def init(self, key: Key, data: Tensor, /) -> tuple[Params, Tree]:
        return {"model": self.model.init(key, self.dtype)}, {}

    def loss(self, params: Params, state: Tree, batch: Batch, key: Key, weights: Weights) -> Out:
        """Minus the mean log p of a symbol."""
        log_p = self.model.log_probs(params["model"], batch["data"], key).mean(1)
        return Out(-log_p.mean(), {"objective": log_p}, state)

    def score(self, params: Params, state: Tree, batch: Tensor, key: Key, /) -> Tensor:
        """The mean log p of a symbol in each row."""
        return self.model.log_probs(params["model"], batch).mean(1)

    @torch.no_grad()
    def report(self, params: Params, state: Tree, data: Text, key: Key, /) -> list[Finding]:
        """Bits per symbol of the whole test text, and a sample."""
        length = min(SAMPLE, self.model.longest or SAMPLE)

        def drawn() -> str:
            return decoded(sampling.draw(self.model, params["model"], keys.fold_in(key, 1), 1, length)[0])

        return [
            Finding("what", [], f"{self.title}\n"),
            report.likelihoods(self.model, params["model"], data.train, data.test, self.batches.length),
            report.sample(drawn, f"{length} symbols drawn:"),
        ]

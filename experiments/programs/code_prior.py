"""Priors of codes as programs: log p of the codes that a trained model gives images, and images of codes drawn."""

from dataclasses import dataclass
from typing import NamedTuple

import torch
from matplotlib.figure import Figure
from torch import Tensor

from jensen.core import keys
from jensen.core.contracts import Key
from jensen.core.models.autoregressive.codes import CodePrior
from jensen.core.trees import Params, Tree
from jensen.experiments.data.batches import Epochs
from jensen.experiments.data.images import Images
from jensen.experiments.programs.one_turn import OneTurn
from jensen.experiments.report.code_prior import Coder, evaluate_prior, samples
from jensen.experiments.run.optimisers import Optimiser
from jensen.experiments.run.program import Batch, Finding, Out, Weights


class Coded(NamedTuple):
    """Codes of images as a prior's sequences (n, t), and what they are of: all that a run's digest of its data has."""

    train: Tensor
    test: Tensor
    images: Images
    coder: Coder

    @property
    def shape(self) -> tuple[int, int, int]:
        """Of an image."""
        return self.images.shape


@dataclass(frozen=True)
class CodePriorProgram(OneTurn):
    """One turn over the prior, without a state; the model of codes is as it was trained."""

    model: CodePrior
    coder: Coder
    batches: Epochs
    optimiser: Optimiser = Optimiser()
    title: str = ""  # of the report
    dtype: torch.dtype = torch.float32  # of parameters

    def init(self, key: Key, data: Tensor, /) -> tuple[Params, Tree]:
        return {"model": self.model.init(key, self.dtype)}, {}

    def loss(self, params: Params, state: Tree, batch: Batch, key: Key, weights: Weights) -> Out:
        """Minus the mean log p of a datum's codes, in nats."""
        log_p = self.model.log_prob(params["model"], batch["data"], key)
        return Out(-log_p.mean(), {"objective": log_p}, state)

    def score(self, params: Params, state: Tree, batch: Tensor, key: Key, /) -> Tensor:
        """log p of each datum's codes."""
        return self.model.log_prob(params["model"], batch)

    def sample(self, params: Params, state: Tree, key: Key, n: int) -> Tensor:
        """(n, D), in the data's own units: the means of p(x | codes) of codes drawn."""
        return self.coder.decoded(self.model.sample(params["model"], key, n))

    def figures(self, params: Params, state: Tree, data: Coded, key: Key, /) -> dict[str, Figure]:
        return {"samples": samples(lambda n: self.sample(params, state, keys.fold_in(key, 1), n), data.images)}

    def report(self, params: Params, state: Tree, data: Coded, key: Key, /) -> list[Finding]:
        found = evaluate_prior(self.model, params["model"], self.coder, data.train, data.test, data.images)
        return [Finding("what", [], self.title), found.finding()]

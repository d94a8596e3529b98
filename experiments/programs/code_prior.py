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
from jensen.experiments.data.batches import Epochs, chunks
from jensen.experiments.data.images import Images
from jensen.experiments.programs.classes import in_turn
from jensen.experiments.programs.one_turn import OneTurn
from jensen.experiments.report.code_prior import Coder, evaluate_prior, samples
from jensen.experiments.run.optimisers import Optimiser
from jensen.experiments.run.program import Batch, Finding, Out, Weights

BAYES = 100  # test images whose labels are found at once, each by as many passes as there are classes


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

    @property
    def columns(self) -> int | None:
        """Of a picture of draws: one for each class, where there are any."""
        return self.model.classes or None

    def loss(self, params: Params, state: Tree, batch: Batch, key: Key, weights: Weights) -> Out:
        """Minus the mean log p of a datum's codes, and of its label where it has one, in nats."""
        log_p = self.model.log_prob(params["model"], batch["data"], key)
        return Out(-log_p.mean(), {"objective": log_p}, state)

    def score(self, params: Params, state: Tree, batch: Tensor, key: Key, /) -> Tensor:
        """log p of each datum's codes, given its label where it has one."""
        return self.model.log_prob_of_codes(params["model"], batch)

    def sample(self, params: Params, state: Tree, key: Key, n: int) -> Tensor:
        """(n, D), in the data's own units: the means of p(x | codes) of codes drawn, of each class in turn."""
        labels = in_turn(n, self.columns, key.device)
        return self.coder.decoded(self.model.sample(params["model"], key, n, labels=labels))

    def sample_of(self, params: Params, state: Tree, key: Key, labels: Tensor) -> Tensor:
        """The same of these labels (n,)."""
        return self.coder.decoded(self.model.sample(params["model"], key, len(labels), labels=labels))

    def figures(self, params: Params, state: Tree, data: Coded, key: Key, /) -> dict[str, Figure]:
        def draw(n: int) -> Tensor:
            return self.sample(params, state, keys.fold_in(key, 1), n)

        return {"samples": samples(draw, data.images, self.columns)}

    def report(self, params: Params, state: Tree, data: Coded, key: Key, /) -> list[Finding]:
        found = evaluate_prior(self.model, params["model"], self.coder, data.train, data.test, data.images)
        known = [] if self.columns is None else [self.labels(params["model"], data)]
        return [Finding("what", [], self.title), found.finding(), *known]

    @torch.no_grad()
    def labels(self, params: Params, data: Coded) -> Finding:
        """The share of test images whose label is the likeliest given their codes, by Bayes' rule."""
        log_p = torch.cat([self.model.log_prob_of_labels(params, rows) for _, rows in chunks(data.test, BAYES)])
        right = (log_p.argmax(-1) == data.test[:, 0]).double()
        share, error = right.mean().item(), right.std().item() / len(right) ** 0.5
        said = f"{'labels by p(label | codes)':<28}{100 * share:>9.1f} ± {100 * error:.1f} % right\n"
        return Finding("labels", [{"name": "right", "mean": share, "error": error}], said)

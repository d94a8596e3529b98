"""Classifiers as programs: log p(label | x) of labelled data, {"x": (n, D), "labels": (n,)}."""

from dataclasses import dataclass

import torch
from torch import Tensor

from jensen.core.contracts import Key
from jensen.core.models.classifier import Classifier
from jensen.core.trees import Params, Tree
from jensen.experiments.data.batches import Epochs
from jensen.experiments.programs.one_turn import OneTurn
from jensen.experiments.run.optimisers import Optimiser
from jensen.experiments.run.program import Batch, Finding, Out, Weights


@dataclass(frozen=True)
class ClassifierProgram(OneTurn):
    """One turn over the model, without a state."""

    model: Classifier
    batches: Epochs
    optimiser: Optimiser = Optimiser()
    title: str = "classifier"  # of the report

    def init(self, key: Key, data: Tree, /) -> tuple[Params, Tree]:
        return {"model": self.model.init(key, data["x"].dtype)}, {}

    def loss(self, params: Params, state: Tree, batch: Batch, key: Key, weights: Weights) -> Out:
        """Minus the mean log probability of the labels."""
        log_prob = self.score(params, state, batch["data"], key)
        return Out(-log_prob.mean(), {"objective": log_prob}, state)

    def score(self, params: Params, state: Tree, batch: Tree, key: Key, /) -> Tensor:
        """The log probability of each datum's label."""
        return self.model.log_prob(params["model"], batch["x"], batch["labels"])

    @torch.no_grad()
    def report(self, params: Params, state: Tree, data: Tree, key: Key, /) -> list[Finding]:
        """Accuracy and negative log-likelihood, each with the standard error of a mean over the data."""
        correct = self.model.correct(params["model"], data["x"], data["labels"])
        nll = -self.score(params, state, data, key)
        rows, lines = [], [f"{self.title}: {len(nll)} test images of {self.model.classes} classes"]
        for name, values, unit in (("accuracy", 100 * correct, "%"), ("NLL", nll, "nats")):
            mean, error = values.double().mean().item(), values.double().std().item() / len(values) ** 0.5
            rows.append({"name": name, "mean": mean, "error": error, "unit": unit})
            lines.append(f"{name:<28}{mean:>9.2f} ± {error:.2f} {unit}")
        return [Finding("classification", rows, "\n".join(lines) + "\n")]

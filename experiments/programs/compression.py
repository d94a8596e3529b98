"""The information bottleneck as a program: two bounds on informations, over labelled data {"x": (n, D), "labels"}."""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from jensen.core import keys
from jensen.core.contracts import Key
from jensen.core.models.latent.bottleneck import Bottleneck, label_entropy
from jensen.core.trees import Params, Tree
from jensen.experiments.data.batches import Epochs
from jensen.experiments.programs.one_turn import OneTurn
from jensen.experiments.run.optimisers import Optimiser
from jensen.experiments.run.program import Batch, Finding, Out, Row, Weights

SAMPLES = 50  # of each datum, in reports


@dataclass(frozen=True)
class BottleneckProgram(OneTurn):
    """One turn over the model; the state is H(Y) of the training labels, a constant."""

    model: Bottleneck
    batches: Epochs
    beta: float  # what a nat of I(X; Z) costs
    k: int = 1  # samples per datum and step
    optimiser: Optimiser = Optimiser()
    title: str = "bottleneck"  # of the report

    def init(self, key: Key, data: Tree, /) -> tuple[Params, Tree]:
        entropy = label_entropy(data["labels"], self.model.classifier.classes)
        return {"model": self.model.init(key, data["x"].dtype)}, {"label_entropy": entropy}

    def loss(self, params: Params, state: Tree, batch: Batch, key: Key, weights: Weights) -> Out:
        """Minus the mean of E log p(y | z) - beta KL; beside it the two bounds in nats, with an epoch's errors."""
        relevance, rate = self.bounds(params, state, batch["data"], key, self.k)
        objective = relevance - state["label_entropy"] - self.beta * rate
        bounds = {"I(Z;Y) at least": relevance, "I(X;Z) at most": rate}
        informations = {f"information/{name}": each for name, each in bounds.items()}
        errors = {f"error/{name}": self.error(each) for name, each in bounds.items()}
        return Out(-objective.mean(), {"objective": objective, **informations, **errors}, state)

    def error(self, each: Tensor) -> Tensor:
        """The standard error of a mean over an epoch whose data spread as these do: (n,), the same for all."""
        return (each.detach().var(correction=0) / self.batches.size).sqrt().expand_as(each)

    def bounds(self, params: Params, state: Tree, data: Tree, key: Key, k: int) -> tuple[Tensor, Tensor]:
        """What each datum adds to the bound on I(Z; Y) from below and to that on I(X; Z) from above, (n,) each."""
        noise = self.model.posterior(params["model"], data["x"]).noise(key, k)
        terms = self.model.terms(params["model"], data["x"], data["labels"], noise)
        return state["label_entropy"] + terms.log_prob, terms.kl

    @torch.no_grad()
    def score(self, params: Params, state: Tree, batch: Tree, key: Key, /) -> Tensor:
        """The objective."""
        relevance, rate = self.bounds(params, state, batch, key, self.k)
        return relevance - state["label_entropy"] - self.beta * rate

    @torch.no_grad()
    def report(self, params: Params, state: Tree, data: Mapping[str, Tree], key: Key, /) -> list[Finding]:
        """Accuracy and both bounds of training and test data, with the standard errors of means over them."""
        rows: list[Row] = []
        lines = [f"{self.title}\n", f"{'':<28}{'training':>18}{'test':>18}"]
        found = {part: self.judged(params, state, each, key) for part, each in data.items()}
        for name, unit in {"I(Z;Y) at least": "nats", "I(X;Z) at most": "nats", "accuracy": "%"}.items():
            cells = []
            for part, values in found.items():
                mean, error = values[name].mean().item(), values[name].std().item() / len(values[name]) ** 0.5
                rows.append({"of": part, "name": name, "mean": mean, "error": error, "unit": unit})
                cells.append(f"{f'{mean:.3f} ± {error:.3f}':>18}")
            lines.append(f"{name:<28}{''.join(cells)} {unit}")
        entropy = state["label_entropy"].item()
        rows.append({"of": "train", "name": "H(Y)", "mean": entropy, "error": 0.0, "unit": "nats"})
        lines.append(f"{'H(Y)':<28}{entropy:>18.3f}{'':>18} nats")
        return [Finding("information", rows, "\n".join(lines) + "\n")]

    def judged(self, params: Params, state: Tree, data: Tree, key: Key) -> dict[str, Tensor]:
        """By name, what each datum adds, in float64."""
        noise_key, bound_key = keys.split(key)
        relevance, rate = self.bounds(params, state, data, bound_key, SAMPLES)
        noise = self.model.posterior(params["model"], data["x"]).noise(noise_key, SAMPLES)
        correct = self.model.correct(params["model"], data["x"], data["labels"], noise)
        named = {"I(Z;Y) at least": relevance, "I(X;Z) at most": rate, "accuracy": 100 * correct}
        return {name: values.double() for name, values in named.items()}

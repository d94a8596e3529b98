"""Semi-supervised models as programs: many images without labels, and a few with theirs, in each step.

Training data are {"x": (N, D), "few": {"x": (M, D), "labels": (M,)}}, held-out data {"x", "labels"}. Beside the model
learns `alone`, the same classifier of pixels on the few labels and nothing else: what the model is compared with.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial

import torch
from matplotlib.figure import Figure
from torch import Tensor

from jensen.core import keys, trees
from jensen.core.contracts import Key
from jensen.core.models.classifier import Classifier
from jensen.core.models.latent.semi import M1
from jensen.core.trees import Params, Tree
from jensen.estimators.evidence import draw
from jensen.experiments.data.batches import Epochs
from jensen.experiments.data.images import Images
from jensen.experiments.data.pixels import binarise
from jensen.experiments.programs.semi_terms import How, Semi, terms
from jensen.experiments.report.chunks import over_data
from jensen.experiments.report.classes import by_class
from jensen.experiments.report.images import prior_means
from jensen.experiments.run.optimisers import Optimiser
from jensen.experiments.run.program import Batch, Finding, Out, Row, Schedule, Turn, Weights
from jensen.experiments.run.schedules import warmup


@dataclass(frozen=True)
class SemiProgram:
    """One turn over the model and over the classifier beside it."""

    model: Semi
    alone: Classifier
    batches: Epochs
    few: Epochs  # of the labelled images, repeated where they are fewer than a batch
    share: float  # of all images, how many have labels: the weight of the bound on log p(x, label)
    alpha: float  # the weight of the labels' log probability
    how: How  # the estimator of each latent of M2
    rows: int  # of noise
    dynamic: bool  # whether pixels are drawn anew at each step
    warmup: int = 0  # steps over which data without labels come to train the classifier
    delay: int = 0  # steps before that
    optimiser: Optimiser = Optimiser()
    title: str = "semi-supervised"  # of the report

    @property
    def turns(self) -> tuple[Turn, ...]:
        return (Turn(self.loss, ("model", "alone")),)

    @property
    def optimisers(self) -> Mapping[str, Optimiser]:
        return {"model": self.optimiser, "alone": self.optimiser}

    @property
    def schedules(self) -> Mapping[str, Schedule]:
        if isinstance(self.model, M1):
            return {}
        return {"classifier": lambda step: warmup(step, 1.0, self.warmup, self.delay)}

    @property
    def epoch(self) -> int:
        return self.batches.steps

    def init(self, key: Key, data: Tree, /) -> tuple[Params, Tree]:
        model_key, alone_key = keys.split(key)
        x = data["x"]
        return {"model": self.model.init(model_key, x), "alone": self.alone.init(alone_key, x.dtype)}, {}

    def batch(self, data: Tree, key: Key, step: int, /) -> Batch:
        many_key, few_key = keys.split(key)
        many = self.batches.take({"x": data["x"]}, many_key, step)
        repeats = -(-self.few.size // len(data["few"]["labels"]))
        repeated = trees.map(lambda t: t.repeat(repeats, *[1] * (t.ndim - 1)), data["few"])
        few = self.few.take(repeated, few_key, step)["data"]
        n = len(many["datum"])
        return {**many, "data": {**many["data"], "few": trees.map(lambda t: t[:n], few)}}

    def loss(self, params: Params, state: Tree, batch: Batch, key: Key, weights: Weights) -> Out:
        """Minus the mean of the model's terms under their weights, and the other classifier's loss."""
        data = batch["data"]
        x, few, labels = data["x"], data["few"]["x"], data["few"]["labels"]
        if self.dynamic:
            key, pixel_key, few_key = keys.split(key, 3)
            x, few = binarise(pixel_key, x), binarise(few_key, few)
        weight = weights.get("classifier", x.new_ones(()))
        found = terms(self.model, params["model"], x, few, labels, key, self.how, self.rows, weight)
        alone = self.alone.log_prob(params["alone"], few, labels)
        own = {"class": self.alpha, "labelled": self.share}
        total = sum(own.get(name, 1.0) * term for name, term in found.items())
        return Out(-(total + alone).mean(), {**found, "alone": alone}, state)

    @torch.no_grad()
    def score(self, params: Params, state: Tree, batch: Tree, key: Key, /) -> Tensor:
        """1 where the model knows the label, else 0."""
        return self.model.correct(params["model"], batch["x"], batch["labels"])

    @torch.no_grad()
    def sample(self, params: Params, state: Tree, key: Key, n: int) -> Tensor:
        """(n, D): the means of p(x | ...) at draws of the prior, of M1 its VAE's."""
        own = params["model"]
        model, own = (self.model.first, own["first"]) if isinstance(self.model, M1) else (self.model, own)
        return prior_means(model, own, key, n)

    def figures(self, params: Params, state: Tree, data: Images, key: Key, /) -> dict[str, Figure]:
        if isinstance(self.model, M1):
            return {}
        return {"classes": by_class(self.model, params["model"], data, key)}

    @torch.no_grad()
    def report(self, params: Params, state: Tree, data: Images, key: Key, /) -> list[Finding]:
        """Accuracy beside that of the labels alone, and the bound on log p(x), each with its standard error."""
        x, labels = data.test, data.test_labels
        correct = 100 * self.model.correct(params["model"], x, labels)
        alone = 100 * self.alone.correct(params["alone"], x, labels)
        bound = self.bound(params["model"], x, key)
        found = {
            "accuracy": (correct, "%"),
            "the labels alone": (alone, "%"),
            "gain": (correct - alone, "%"),
            "bound on log p(x)": (bound, "nats"),
        }
        rows: list[Row] = []
        lines = [self.title, f"{'test':<28}{len(x):>9} images"]
        for name, (values, unit) in found.items():
            mean, error = values.double().mean().item(), values.double().std().item() / len(values) ** 0.5
            rows.append({"name": name, "mean": mean, "error": error, "unit": unit})
            lines.append(f"{name:<28}{mean:>9.2f} ± {error:.2f} {unit}")
        return [Finding("semi-supervised", rows, "\n".join(lines) + "\n")]

    def bound(self, params: Params, x: Tensor, key: Key) -> Tensor:
        """One sample's bound on log p(x), (n,): of M1 its VAE's, of the others the whole model's."""
        pixel_key, key = keys.split(key)
        model, own = (self.model.first, params["first"]) if isinstance(self.model, M1) else (self.model, params)

        def of(x: Tensor, key: Key) -> tuple[Tensor]:
            return (draw(partial(model.log_joint, own, x), model.posterior(own, x), 1, key)[0],)

        return over_data(of, binarise(pixel_key, x) if self.dynamic else x, key, 1000)[0]

"""The conditional autoencoder as a program: the latent-variable models', with figures and bounds of what is given."""

import math
from dataclasses import dataclass
from functools import partial

import torch
from matplotlib.figure import Figure
from torch import Tensor
from torch.nn import functional as F

from jensen.core import keys
from jensen.core.contracts import Key
from jensen.core.models.latent.cvae import CVAE
from jensen.core.trees import Params, Tree
from jensen.experiments import report
from jensen.experiments.data.images import Images
from jensen.experiments.programs.classes import in_turn
from jensen.experiments.programs.latent import LatentProgram
from jensen.experiments.report.chunks import ROWS, over_data
from jensen.experiments.report.conditions import by_condition, completions, means
from jensen.experiments.report.evaluation import ELBO_SAMPLES, elbo_terms
from jensen.experiments.run.program import Finding, Row


@dataclass(frozen=True)
class ConditionalProgram(LatentProgram):
    """Data are rows of an image and its condition; everything is given the condition."""

    model: CVAE
    labels: bool  # whether that is a label, one-hot

    @property
    def columns(self) -> int | None:
        """Of a picture of draws: one for each class."""
        return self.model.condition if self.labels else None

    @torch.no_grad()
    def sample(self, params: Params, state: Tree, key: Key, n: int) -> Tensor:
        """(n, D): the means of p(x | z, c), of each class in turn, or given upper halves of training images."""
        kept = params["model"]["decoder"]["conditions"]
        labels = in_turn(n, self.columns, kept.device)
        if labels is not None:
            return self.sample_of(params, state, key, labels)
        return self._given(params, key, kept[torch.arange(n, device=kept.device) % len(kept)])

    @torch.no_grad()
    def sample_of(self, params: Params, state: Tree, key: Key, labels: Tensor) -> Tensor:
        """The same of these labels (n,)."""
        kept = params["model"]["decoder"]["conditions"]
        return self._given(params, key, F.one_hot(labels, self.model.condition).to(kept))

    def _given(self, params: Params, key: Key, c: Tensor) -> Tensor:
        p = self.model.prior(params["model"], len(c))
        return means(self.model, params["model"], p.sample(p.noise(key, 1)), c[None])[0]

    def figures(self, params: Params, state: Tree, data: Images, key: Key, /) -> dict[str, Figure]:
        if self.labels:
            return {"classes": by_condition(self.model, params["model"], data, key)}
        return {"completions": completions(self.model, params["model"], data, key)}

    def report(self, params: Params, state: Tree, data: Images, key: Key, /) -> list[Finding]:
        """The evaluation, of the image's pixels alone, and the bound of each class."""
        model, own = self.model, params["model"]
        found = report.evaluate(model, own, data.train, data.test, self.evidence_k, key, self.compile)
        found = found._replace(pixels=math.prod(data.shape))
        return [Finding("what", [], self.title), found.finding(), self.classes(own, data, keys.fold_in(key, 0))]

    @torch.no_grad()
    def classes(self, params: Params, data: Images, key: Key) -> Finding:
        """Minus the bound on log p(x | c) by class of test images, with standard errors."""
        terms = partial(elbo_terms, self.model)
        likelihood, kl = over_data(lambda x, key: terms(params, x, key), data.test, key, ROWS // ELBO_SAMPLES)
        rows: list[Row] = []
        lines = [f"{'class, nats per datum':<28}{'−ELBO':>9}"]
        for label in data.test_labels.unique().tolist():
            values = (kl - likelihood)[data.test_labels.to(kl.device) == label].double()
            error = values.std(correction=min(1, len(values) - 1)).item() / len(values) ** 0.5
            rows.append({"class": label, "images": len(values), "mean": values.mean().item(), "error": error})
            lines.append(f"{label:<28}{values.mean().item():>9.2f} ± {error:.2f}")
        return Finding("classes", rows, "\n".join(lines) + "\n")

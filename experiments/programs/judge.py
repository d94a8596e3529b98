"""A trained classifier as the judge of what others draw: its features, its probabilities, and the images it knows."""

from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor

from jensen.core.models.classifier import Classifier as Model
from jensen.core.trees import Params
from jensen.experiments.programs.classifier import Classifier
from jensen.experiments.programs.finished import read_run
from jensen.experiments.run.errors import InputError

CHUNK = 1000  # images at once


class Judge(NamedTuple):
    """Images are (n, D) in [0, 1], labels (n,)."""

    folder: Path
    data: str  # the name of its images
    model: Model
    params: Params
    train: Tensor
    test: Tensor
    labels: Tensor  # of the test

    @torch.no_grad()
    def features(self, x: Tensor) -> Tensor:
        """What its last layer reads, (n, h)."""
        return torch.cat([self.model.features(self.params, part) for part in x.split(CHUNK)])

    @torch.no_grad()
    def log_p(self, x: Tensor) -> Tensor:
        """log p(label | x) of each class, (n, c)."""
        return torch.cat([self.model.logits(self.params, part) for part in x.split(CHUNK)]).log_softmax(-1)

    def accuracy(self) -> float:
        """The share of test images that it is right of."""
        return (self.log_p(self.test).argmax(-1) == self.labels).double().mean().item()


def read_judge(folder: Path, device: str | None = None) -> Judge:
    """The classifier of a finished run. InputError for a run of another kind."""
    run = read_run(folder, device)
    if not isinstance(run.settings, Classifier):
        raise InputError(f"{folder} holds a {run.kind}, which classifies nothing: pass a run of train classifier")
    train, test = run.prepared.train, run.prepared.data
    return Judge(
        folder, run.settings.data, run.prepared.program.model, run.params["model"], train["x"], test["x"],
        test["labels"],
    )  # fmt: skip

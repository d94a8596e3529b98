"""The conditional autoencoder on images, as the command line has it."""

import math
from dataclasses import dataclass, field
from typing import Annotated, Literal

import torch
import tyro
from torch import Tensor
from torch.nn import functional as F

from jensen.core import trees
from jensen.core.models.latent import cvae
from jensen.core.models.latent.cvae import CVAE
from jensen.core.models.latent.likelihoods import LIKELIHOODS
from jensen.experiments.data.images import ImageData, Images
from jensen.experiments.data.labelled import Labelled
from jensen.experiments.programs.conditions import ConditionalProgram
from jensen.experiments.programs.estimation import Estimation
from jensen.experiments.programs.images import Flat, ImageSettings
from jensen.experiments.programs.labelled import CLASSES, check_labelled, labelled_images
from jensen.experiments.programs.latent import LatentProgram
from jensen.experiments.programs.likelihoods import CAUTIONS, check_likelihood, likelihood_of
from jensen.experiments.run.config import FREE
from jensen.experiments.run.errors import InputError
from jensen.experiments.run.optimisers import Optimiser
from jensen.experiments.run.settings import Run


@dataclass(frozen=True)
class ConditionedImages(ImageData):
    """Which images, of which part, and given what: rows of an image and its condition side by side."""

    condition: Literal["labels", "upper"] = "labels"
    """What images are given: their labels, one-hot; or their upper half, and then the lower one is modelled."""

    def check(self) -> None:
        """Raises an InputError for what cannot work."""
        super().check()
        check_labelled(self)

    def read(self) -> Images:
        """Rows (n, D + C); the shape is that of an image of D pixels."""
        data = labelled_images(self)
        channels, height, width = data.shape
        if self.condition == "labels":
            train, test = (torch.cat([part["x"], one_hot(part)], -1) for part in (data.train, data.test))
            return Images(train, test, data.test["labels"], data.shape)
        train, test = (halves(part["x"], data) for part in (data.train, data.test))
        return Images(train, test, data.test["labels"], (channels, height - height // 2, width))


def one_hot(data: trees.Tree) -> Tensor:
    """The labels (n, classes)."""
    return F.one_hot(data["labels"], CLASSES).to(data["x"].dtype)


def halves(x: Tensor, data: Labelled) -> Tensor:
    """The lower half of each image, then its upper half."""
    lower = x.reshape(-1, *data.shape).split([data.shape[1] // 2, data.shape[1] - data.shape[1] // 2], 2)[::-1]
    return torch.cat([part.flatten(1) for part in lower], -1)


@dataclass(frozen=True)
class Cvae(ImageSettings):
    """Train a conditional autoencoder on images given their labels or upper halves, and report it on test images."""

    images: Flat[ConditionedImages] = ConditionedImages()
    likelihood: Annotated[str, tyro.conf.arg(metavar="{" + ",".join(LIKELIHOODS) + "}")] = "bernoulli"
    """p(x | z, c); soft-bernoulli is the cross-entropy to grey pixels, which is no density."""
    prior: Literal["standard", "learned"] = "standard"
    """N(0, I), or p(z | c) of a network."""
    hidden: tuple[int, ...] = (200, 200)
    """Widths of hidden layers."""
    activation: Literal["relu", "sigmoid", "tanh", "leaky_relu", "gelu"] = "tanh"
    """Between layers."""
    latent: int = 8
    """Latent dimensions."""
    estimation: Flat[Estimation] = Estimation()
    optimiser: Flat[Optimiser] = Optimiser()
    run: Flat[Run] = Run()
    evidence_k: int = field(default=1000, metadata=FREE)
    """Importance samples per test datum for the NLL."""

    def check(self) -> None:
        """Raises an InputError for the first setting that cannot work."""
        super().check()
        check_likelihood(self.likelihood, self.images)
        if not self.hidden:
            raise InputError("--hidden needs the width of one layer or more, where image and condition meet")
        self.check_positive(*(("--hidden", size) for size in self.hidden), ("--latent", self.latent))

    def words(self) -> str:
        given = "labels" if self.images.condition == "labels" else "upper halves"
        return f"{self.likelihood} likelihood, given {given}, {self.prior} prior"

    def caution(self) -> str:
        return CAUTIONS.get(self.likelihood, "")

    def title(self, images: Images, steps: int, name: str) -> str:
        """The condition is no part of an image's pixels."""
        return super().title(images._replace(test=images.test[:, : math.prod(images.shape)]), steps, name)

    def model(self, images: Images) -> CVAE:
        pixels, learned = math.prod(images.shape), self.prior == "learned"
        likelihood = likelihood_of(self.likelihood, images._replace(train=images.train[:, :pixels]))
        activation, condition = getattr(F, self.activation), images.train.shape[1] - pixels
        return cvae.build(pixels, condition, self.hidden, self.latent, learned, activation, likelihood)

    def program(self, plain: LatentProgram) -> LatentProgram:
        """The plain one, with figures and a report of what is given."""
        return ConditionalProgram(**vars(plain), labels=self.images.condition == "labels")

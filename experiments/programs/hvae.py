"""The autoencoder of several stochastic layers on images, as the command line has it."""

import math
from dataclasses import dataclass, field
from typing import Annotated, Literal

import tyro
from torch.nn import functional as F

from jensen.core.models.latent import hvae, ladder
from jensen.core.models.latent.likelihoods import LIKELIHOODS
from jensen.experiments.data.images import ImageData, Images
from jensen.experiments.programs.adapted import ImageModel
from jensen.experiments.programs.estimation import Estimation
from jensen.experiments.programs.images import Flat, ImageSettings
from jensen.experiments.programs.likelihoods import CAUTIONS, check_likelihood, likelihood_of
from jensen.experiments.run.config import FREE
from jensen.experiments.run.errors import InputError
from jensen.experiments.run.optimisers import Optimiser
from jensen.experiments.run.settings import Run


@dataclass(frozen=True)
class Hvae(ImageSettings):
    """Train a variational autoencoder of several stochastic layers on images, and report it on test images."""

    images: Flat[ImageData] = ImageData()
    likelihood: Annotated[str, tyro.conf.arg(metavar="{" + ",".join(LIKELIHOODS) + "}")] = "bernoulli"
    """p(x | z1); soft-bernoulli is the cross-entropy to grey pixels, which is no density."""
    latents: tuple[int, ...] = (16, 8)
    """Latent dimensions of each layer, from the data up."""
    direction: Literal["bottom-up", "top-down"] = "bottom-up"
    """In which q(z | x) draws the layers: from the data up, or from the top down as the prior does, whose networks it
    then shares (a ladder)."""
    hidden: tuple[int, ...] = (200, 200)
    """Widths of the networks between one layer and the next."""
    activation: Literal["relu", "sigmoid", "tanh", "leaky_relu", "gelu"] = "tanh"
    """Between hidden layers."""
    estimation: Flat[Estimation] = Estimation()
    optimiser: Flat[Optimiser] = Optimiser()
    run: Flat[Run] = Run()
    evidence_k: int = field(default=1000, metadata=FREE)
    """Importance samples per test datum for the NLL."""

    def check(self) -> None:
        """Raises an InputError for the first setting that cannot work."""
        super().check()
        check_likelihood(self.likelihood, self.images)
        if not self.latents:
            raise InputError("--latents needs the size of each layer, as in --latents 16 8")
        self.check_positive(
            *(("--latents", size) for size in self.latents), *(("--hidden", size) for size in self.hidden)
        )

    def words(self) -> str:
        way = "" if self.direction == Hvae.direction else " inferred from the top down"
        return f"{self.likelihood} likelihood, layers of {', '.join(map(str, self.latents))}{way}"

    def caution(self) -> str:
        return CAUTIONS.get(self.likelihood, "")

    def model(self, images: Images) -> ImageModel:
        likelihood = likelihood_of(self.likelihood, images)
        activation = getattr(F, self.activation)
        build = hvae.build if self.direction == "bottom-up" else ladder.build
        return build(math.prod(images.shape), self.latents, self.hidden, activation, likelihood)

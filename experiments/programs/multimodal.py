"""The multimodal autoencoder of images' upper and lower halves, as the command line has it."""

from dataclasses import dataclass, field
from typing import Annotated, Literal

import tyro
from torch.nn import functional as F

from jensen.core.models.latent import multimodal
from jensen.core.models.latent.likelihoods import LIKELIHOODS
from jensen.experiments.data.images import ImageData, Images
from jensen.experiments.programs.estimation import Estimation
from jensen.experiments.programs.images import Flat, ImageSettings
from jensen.experiments.programs.latent import LatentProgram
from jensen.experiments.programs.likelihoods import CAUTIONS, check_likelihood, likelihood_of
from jensen.experiments.programs.modalities import MultimodalProgram
from jensen.experiments.run.config import FREE
from jensen.experiments.run.optimisers import Optimiser
from jensen.experiments.run.settings import Run

WORDS = {"product": "product of experts", "mixture": "mixture of experts", "joint": "joint encoder"}


@dataclass(frozen=True)
class Multimodal(ImageSettings):
    """Train a multimodal autoencoder of the halves of images, and report how well one half finds the other."""

    images: Flat[ImageData] = ImageData()
    experts: Literal["product", "mixture", "joint"] = "product"
    """How q(z) comes from those halves that are there: a product of their experts and the prior, a mixture of their
    experts, or one network of both that also reads which are missing."""
    likelihood: Annotated[str, tyro.conf.arg(metavar="{" + ",".join(LIKELIHOODS) + "}")] = "bernoulli"
    """p(x_i | z) of each half; soft-bernoulli is the cross-entropy to grey pixels, which is no density."""
    hidden: tuple[int, ...] = (200,)
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
        self.check_positive(*(("--hidden", size) for size in self.hidden), ("--latent", self.latent))

    def words(self) -> str:
        return f"{self.likelihood} likelihood, upper and lower halves, {WORDS[self.experts]}"

    def caution(self) -> str:
        return CAUTIONS.get(self.likelihood, "")

    def model(self, images: Images) -> multimodal.Multimodal:
        """Rows are images as they are: their upper rows of pixels come first."""
        _, height, width = images.shape
        upper = height // 2 * width
        likelihood, activation = likelihood_of(self.likelihood, images), getattr(F, self.activation)
        sizes = (upper, images.train.shape[1] - upper)
        return multimodal.build(sizes, self.hidden, self.latent, self.experts, activation, likelihood)

    def program(self, plain: LatentProgram) -> MultimodalProgram:
        """The plain one, with each half alone, and how well it finds the other."""
        return MultimodalProgram(**vars(plain), names=("upper", "lower"))

"""The sigmoid belief net on binary images, as the command line has it."""

import math
from dataclasses import dataclass, field

from jensen.core.models.latent import sbn
from jensen.experiments.data.images import ImageData, Images
from jensen.experiments.programs.adapted import ImageModel
from jensen.experiments.programs.estimation import Estimation
from jensen.experiments.programs.images import Flat, ImageSettings
from jensen.experiments.run.config import FREE
from jensen.experiments.run.errors import InputError
from jensen.experiments.run.optimisers import Optimiser
from jensen.experiments.run.settings import Run


@dataclass(frozen=True)
class Sbn(ImageSettings):
    """Train a sigmoid belief net of binary latents, and report its bound, evidence and posterior on test images."""

    images: Flat[ImageData] = ImageData()
    units: int = 200
    """Latent units of each layer."""
    layers: int = 1
    """Layers of units."""
    hidden: tuple[int, ...] = ()
    """Widths of hidden layers between one layer of units and the next; none makes the net linear."""
    estimation: Flat[Estimation] = Estimation()
    optimiser: Flat[Optimiser] = Optimiser()
    run: Flat[Run] = Run()
    evidence_k: int = field(default=1000, metadata=FREE)
    """Importance samples per test datum for the NLL."""

    def check(self) -> None:
        """Raises an InputError for the first setting that cannot work."""
        super().check()
        sizes = (("--units", self.units), ("--layers", self.layers))
        self.check_positive(*(("--hidden", size) for size in self.hidden), *sizes)
        if self.images.treatment not in ("dynamic", "static"):
            raise InputError(
                f"the sbn is a model of binary pixels, and these are {self.images.treatment}: leave out --pixels grey "
                "and --data patches, or train a vae"
            )

    def model(self, images: Images) -> ImageModel:
        return sbn.build(math.prod(images.shape), self.units, self.layers, self.hidden)

"""The generative adversarial network of points, as the command line has it."""

from dataclasses import dataclass
from typing import Literal

import torch

from jensen.core.models.adversarial import gan
from jensen.core.models.adversarial.smoothness import SMOOTHNESS, Smoothness
from jensen.experiments.data.batches import Epochs
from jensen.experiments.data.points import PointData
from jensen.experiments.programs.generation import AdversarialProgram
from jensen.experiments.programs.generators import PointSettings
from jensen.experiments.programs.images import Flat
from jensen.experiments.run.errors import InputError
from jensen.experiments.run.optimisers import Optimiser
from jensen.experiments.run.settings import Run


@dataclass(frozen=True)
class Gan(PointSettings):
    """Train a generator against a critic, and report the modes it finds and its distance from test data."""

    points: Flat[PointData] = PointData()
    game: Literal["minimax", "non-saturating", "wasserstein", "relativistic"] = "wasserstein"
    """What the two minimise."""
    smooth: Literal["free", "gradient-penalty", "r1-r2", "clipped", "spectral"] = "gradient-penalty"
    """What keeps the critic smooth."""
    strength: float | None = None
    """The penalty's weight, or the limit of clipped weights; the literature's unless given."""
    latent: int = 8
    """Dimensions of the generator's noise."""
    hidden: tuple[int, ...] = (128, 128, 128)
    """Widths of the generator's hidden layers, and, in reverse, of the critic's."""
    critics: int = 5
    """Steps of the critic for each of the generator."""
    generator_average: float = 0.99
    """Decay of the average of the generator over its steps, by which it is judged; 0 for none."""
    optimiser: Flat[Optimiser] = Optimiser(lr=5e-4, beta1=0.5, beta2=0.9)
    run: Flat[Run] = Run(steps=12_000, batch=128)

    def check(self) -> None:
        """Raises an InputError for the first setting that cannot work."""
        super().check()
        self.check_positive(("--latent", self.latent), ("--critics", self.critics))
        if not 0 <= self.generator_average < 1:
            raise InputError(f"expected --generator-average in [0, 1), got {self.generator_average}")
        if self.strength is not None and self.smooth in ("free", "spectral"):
            raise InputError(f"--smooth {self.smooth} has no --strength: leave it out")
        self.smoothness()

    def smoothness(self) -> Smoothness:
        """InputError for a strength that it cannot have."""
        try:
            return SMOOTHNESS[self.smooth]() if self.strength is None else SMOOTHNESS[self.smooth](self.strength)
        except ValueError as error:
            raise InputError(f"--strength: {error}") from error

    def program(self, batches: Epochs, data: int, steps: int) -> AdversarialProgram:
        output = torch.tanh if self.points.data == "digits" else None
        model = gan.mlp(data, self.latent, self.hidden, self.game, self.smoothness(), output=output)
        title = f"gan on {self.points.data}: {self.game} game, {self.smooth} critic, {steps} steps"
        return AdversarialProgram(model, batches, self.critics, self.generator_average, self.optimiser, title)

"""The generative adversarial network of points and images, as the command line has it."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Literal

from torch import Tensor
from torch.nn import functional as F

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

Activation = Literal["relu", "leaky_relu", "silu", "tanh"]


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
    latent: int = 2
    """Dimensions of the generator's noise."""
    hidden: tuple[int, ...] = (128, 128, 128)
    """Widths of the generator's hidden layers, and, in reverse, of the critic's."""
    activation: Activation = "leaky_relu"
    """Between layers."""
    critic_activation: Activation | None = None
    """The same of the critic; the generator's unless given."""
    leak: float = 0.01
    """Slope of leaky_relu below 0."""
    critics: int = 2
    """Steps of the critic for each of the generator."""
    generator_average: float = 0.999
    """Decay of the average of the generator over its steps, by which it is judged; 0 for none."""
    optimiser: Flat[Optimiser] = Optimiser(lr=3e-3, beta1=0.0, beta2=0.99)
    run: Flat[Run] = Run(steps=18_000, batch=256, lr_final=0.05)

    def check(self) -> None:
        """Raises an InputError for the first setting that cannot work."""
        super().check()
        self.check_positive(("--latent", self.latent), ("--critics", self.critics))
        if not 0 <= self.generator_average < 1:
            raise InputError(f"expected --generator-average in [0, 1), got {self.generator_average}")
        if not 0 <= self.leak <= 1:
            raise InputError(f"expected --leak in [0, 1], got {self.leak}")
        if self.leak != Gan.leak and "leaky_relu" not in (self.activation, self.critic_activation):
            raise InputError("--leak is for --activation or --critic-activation leaky_relu: leave it out")
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
        model = gan.mlp(
            data, self.latent, self.hidden, self.game, self.smoothness(), self.function(self.activation),
            critic_activation=self.function(self.critic_activation or self.activation), bounded=self.points.images,
        )  # fmt: skip
        title = f"gan on {self.points.data}: {self.game} game, {self.smooth} critic, {steps} steps"
        return AdversarialProgram(model, batches, self.critics, self.generator_average, self.optimiser, title)

    def function(self, activation: Activation) -> Callable[[Tensor], Tensor]:
        """By its name."""
        if activation == "leaky_relu":
            return partial(F.leaky_relu, negative_slope=self.leak)
        return getattr(F, activation)

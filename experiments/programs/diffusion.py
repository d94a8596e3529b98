"""The denoising diffusion of points, as the command line has it."""

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from jensen.core import keys
from jensen.core.contracts import Key
from jensen.core.models.transport import diffusion, fields, noise_levels
from jensen.core.trees import Params
from jensen.experiments.data.batches import Epochs
from jensen.experiments.data.points import PointData, Points
from jensen.experiments.programs.generation import TransportProgram
from jensen.experiments.programs.generators import PointSettings
from jensen.experiments.programs.images import Flat
from jensen.experiments.report.series import means
from jensen.experiments.run.errors import InputError
from jensen.experiments.run.optimisers import Optimiser
from jensen.experiments.run.program import Finding
from jensen.experiments.run.settings import Run

BOUNDED = 200  # test points whose every term is evaluated


@dataclass(frozen=True)
class Diffusion(PointSettings):
    """Train a denoising diffusion, and report its ELBO term by term and what it draws."""

    points: Flat[PointData] = PointData(data="moons")
    levels: Literal["linear", "cosine"] = "linear"
    """How the noise grows."""
    noise_steps: int = 200
    """Steps from data to noise."""
    variance: Literal["large", "small"] = "large"
    """Of each step back."""
    draw_steps: int | None = None
    """Steps of an implicit (DDIM) sampler; every step, ancestrally, unless given."""
    hidden: tuple[int, ...] = (128, 128, 128)
    """Widths of the hidden layers of the field of noise."""
    optimiser: Flat[Optimiser] = Optimiser(lr=2e-3)
    run: Flat[Run] = Run(steps=6000, batch=256, average=0.999, lr_final=0.01)

    def check(self) -> None:
        """Raises an InputError for the first setting that cannot work."""
        super().check()
        if self.noise_steps < 2:
            raise InputError(f"expected --noise-steps of at least 2, got {self.noise_steps}")
        if self.draw_steps is not None and not 1 <= self.draw_steps <= self.noise_steps:
            raise InputError(f"expected --draw-steps from 1 to {self.noise_steps}, got {self.draw_steps}")

    def program(self, batches: Epochs, data: int, steps: int) -> TransportProgram:
        levels = {"linear": noise_levels.linear, "cosine": noise_levels.cosine}[self.levels](self.noise_steps)
        model = diffusion.build(fields.mlp(data, self.hidden), levels, self.variance)
        dtype = getattr(torch, self.run.dtype)

        def draw(params: Params, key: Key, n: int) -> Tensor:
            if self.draw_steps is None:
                return model.sample(params, key, n, dtype)
            return model.implicit(params, key, n, self.draw_steps, dtype=dtype)

        def terms(params: Params, points: Points, key: Key) -> list[Finding]:
            bound = model.bound(params, points.test[:BOUNDED], keys.fold_in(key, 1))
            found = {"ELBO": bound.elbo, "reconstruction": bound.reconstruction,
                     "transitions": bound.transitions.sum(-1), "prior": bound.prior}  # fmt: skip
            return [means("bound", found, "nats")]

        title = f"diffusion of {self.noise_steps} {self.levels} levels on {self.points.data}, {steps} steps"
        return TransportProgram(
            model=model, batches=batches, optimiser=self.optimiser, title=title, draw=draw, findings=terms
        )

"""Flow matching of points, as the command line has it."""

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from jensen.core.contracts import Key
from jensen.core.models.transport import fields, flow_matching
from jensen.core.trees import Params
from jensen.experiments.data.batches import Epochs
from jensen.experiments.data.points import PointData, Points
from jensen.experiments.programs.generation import TransportProgram
from jensen.experiments.programs.generators import PointSettings
from jensen.experiments.programs.images import Flat
from jensen.experiments.report.series import means
from jensen.experiments.run.optimisers import Optimiser
from jensen.experiments.run.program import Finding
from jensen.experiments.run.settings import Run

SCORED = 200  # test points whose density is followed back


@dataclass(frozen=True)
class Flow(PointSettings):
    """Train a flow by matching velocities, and report the density of test data and what it draws."""

    points: Flat[PointData] = PointData(data="moons")
    draw_steps: int = 20
    """Steps of the solver."""
    method: Literal["rk4", "euler"] = "rk4"
    """Of the solver."""
    hidden: tuple[int, ...] = (128, 128, 128)
    """Widths of the hidden layers of the field of velocities."""
    optimiser: Flat[Optimiser] = Optimiser(lr=2e-3)
    run: Flat[Run] = Run(steps=6000, batch=256, average=0.999, lr_final=0.01)

    def check(self) -> None:
        """Raises an InputError for the first setting that cannot work."""
        super().check()
        self.check_positive(("--draw-steps", self.draw_steps))

    def program(self, batches: Epochs, data: int, steps: int) -> TransportProgram:
        model, dtype = flow_matching.build(fields.mlp(data, self.hidden)), getattr(torch, self.run.dtype)

        def draw(params: Params, key: Key, n: int) -> Tensor:
            return model.sample(params, key, n, self.draw_steps, self.method, dtype)

        def densities(params: Params, points: Points, key: Key) -> list[Finding]:
            x = points.test[:SCORED]
            found = {"log p": model.log_prob(params, x, self.draw_steps), "bend": model.straightness(params, x)}
            return [means("density", found, "nats, and squared distances")]

        title = f"flow matching on {self.points.data}, {steps} steps, drawn by {self.draw_steps} of {self.method}"
        return TransportProgram(
            model=model, batches=batches, optimiser=self.optimiser, title=title, draw=draw, findings=densities
        )

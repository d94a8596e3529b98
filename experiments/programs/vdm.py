"""The variational diffusion of points or of images' pixels, as the command line has it."""

from dataclasses import dataclass

import torch
from torch import Tensor

from jensen.core import keys
from jensen.core.contracts import Key
from jensen.core.models.transport import choices, variational_diffusion
from jensen.core.trees import Params
from jensen.experiments.data.batches import Epochs
from jensen.experiments.data.points import PointData, Points
from jensen.experiments.programs.diffusion import SHADES, TERMS, bits
from jensen.experiments.programs.generation import TransportProgram
from jensen.experiments.programs.generators import PointSettings, perceptron
from jensen.experiments.programs.images import Flat
from jensen.experiments.report.chunks import ROWS, Rows, over_data
from jensen.experiments.report.series import means
from jensen.experiments.run.errors import InputError
from jensen.experiments.run.optimisers import Optimiser
from jensen.experiments.run.program import Finding
from jensen.experiments.run.settings import Run

TIMES = 50  # of each test datum whose bound is evaluated


@dataclass(frozen=True)
class Vdm(PointSettings):
    """Train a variational diffusion by its bound, with learned ends of its noise, and report it term by term.

    The report has what it draws too, and of images bits/dim.
    """

    points: Flat[PointData] = PointData(data="digits")
    hidden: tuple[int, ...] = (128, 128, 128)
    """Widths of the mlp's hidden layers."""
    draw_steps: int = 200
    """Steps from noise to data, of what is drawn."""
    optimiser: Flat[Optimiser] = Optimiser(lr=2e-3)
    run: Flat[Run] = Run(steps=2500, batch=256, average=0.995, lr_final=0.01)

    def check(self) -> None:
        """Raises an InputError for the first setting that cannot work."""
        super().check()
        if self.draw_steps < 1:
            raise InputError(f"expected --draw-steps of at least 1, got {self.draw_steps}: leave it out")

    def program(self, batches: Epochs, data: int, steps: int) -> TransportProgram:
        shades, dtype = SHADES.get(self.points.data), getattr(torch, self.run.dtype)
        field = perceptron(self.points, data, self.hidden) if shades is None else choices.mlp(data, shades, self.hidden)
        model = variational_diffusion.build(field, shades)

        def draw(params: Params, key: Key, n: int) -> Tensor:
            return model.sample(params, key, n, self.draw_steps, dtype)

        def terms(params: Params, points: Points, key: Key) -> list[Finding]:
            def of(x: Tensor, key: Key) -> Rows:
                bound = model.bound(params, x, key, TIMES)
                return bound.elbo, *bound

            each = over_data(of, points.test, keys.fold_in(key, 1), max(1, ROWS // TIMES))
            found = dict(zip(TERMS, each, strict=True))
            start, length = (params[name].item() for name in ("start", "length"))
            ends = {"start": start, "end": model.log_snr(params, torch.ones(())).item(), "length": length}
            said = f"{'log snr from start to end':<40}{ends['start']:>9.2f} to {ends['end']:.2f}\n"
            in_nats = means("bound", found, "nats")
            of_pixels = [] if shades is None else [bits(found["ELBO"], points.train, points.test, shades)]
            return [in_nats, *of_pixels, Finding("ends", [ends], said)]

        title = f"variational diffusion on {self.points.data}, {steps} steps"
        return TransportProgram(
            model=model, batches=batches, optimiser=self.optimiser, title=title, draw=draw, findings=terms
        )

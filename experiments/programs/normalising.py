"""The normalising flow of points as a density model, as the command line has it."""

from dataclasses import dataclass
from functools import partial
from typing import Literal

import torch
from matplotlib.figure import Figure
from torch import Tensor

from jensen.core import keys
from jensen.core.contracts import Key
from jensen.core.flows import Affine, RationalQuadratic
from jensen.core.flows.transform import Transform
from jensen.core.models.transport import normalising
from jensen.core.trees import Params
from jensen.experiments.data.batches import Epochs
from jensen.experiments.data.points import PointData, Points
from jensen.experiments.programs.generators import PointSettings
from jensen.experiments.programs.images import Flat
from jensen.experiments.programs.maximum_likelihood import MaximumLikelihood
from jensen.experiments.report import densities, points
from jensen.experiments.run.errors import InputError
from jensen.experiments.run.optimisers import Optimiser
from jensen.experiments.run.program import Finding
from jensen.experiments.run.settings import Run

NOISES = 10  # draws of the noise that spreads levels over their cells, of a report
CELL = 2 / 16  # of the 17 levels of digits in [-1, 1], each level its middle


@dataclass(frozen=True)
class Normalising(PointSettings):
    """Train a normalising flow by its exact likelihood, and report log p of test data and what it draws."""

    points: Flat[PointData] = PointData(data="moons")
    transform: Literal["affine", "spline"] = "spline"
    """Of each coupling: affine is RealNVP, spline a neural spline flow."""
    couplings: int = 6
    """An even number: each changes half of the coordinates."""
    bins: int = 8
    """Of each spline."""
    bound: float = 4.0
    """Splines end at plus and minus this many deviations of the data, and are the identity outside."""
    hidden: tuple[int, ...] = (64, 64)
    """Widths of the hidden layers of each coupling's network."""
    optimiser: Flat[Optimiser] = Optimiser(lr=3e-3)
    run: Flat[Run] = Run(steps=1500, batch=256, compile=False)  # a compiler takes minutes for splines

    def check(self) -> None:
        """Raises an InputError for the first setting that cannot work."""
        super().check()
        if self.points.data == "mnist":
            raise InputError("784 pixels are too many for couplings of perceptrons: use train pixels --data mnist")
        self.check_positive(("--couplings", self.couplings))
        if self.couplings % 2:
            raise InputError(f"expected --couplings, an even number, got {self.couplings}: each changes half of x")
        if not self.hidden:
            raise InputError("expected --hidden of one width or more: leave it out for 64 64")
        if self.transform == "affine":
            for name in ("bins", "bound"):
                if getattr(self, name) != getattr(Normalising, name):
                    raise InputError(f"affine couplings have no --{name}: leave it out, or use --transform spline")
        self.map()

    def map(self) -> Transform:
        """InputError for a spline that cannot be."""
        try:
            return Affine() if self.transform == "affine" else RationalQuadratic(self.bins, self.bound)
        except ValueError as error:
            raise InputError(f"--bins {self.bins} and --bound {self.bound}: {error}") from error

    def program(self, batches: Epochs, data: int, steps: int) -> MaximumLikelihood:
        model = normalising.build(data, self.map(), self.couplings, self.hidden)
        levels = self.points.data == "digits"
        taken = spread if levels else as_they_are

        def drawn(params: Params, points_of: Points, key: Key) -> dict[str, Figure]:
            x = model.sample(params, key, points.COMPARED)
            if data != 2:
                return {"points": points.figure(x, points_of.test)}
            return {"points": densities.figure(partial(model.log_prob, params), x, points_of.test)}

        def findings(params: Params, points_of: Points, key: Key) -> list[Finding]:
            draw_key, judge_key, train_key, *each = keys.split(key, 3 + (NOISES if levels else 1))
            log_p = torch.stack([model.log_prob(params, taken(points_of.test, k)) for k in each]).mean(0)
            simple = densities.simple(taken(points_of.train, train_key), taken(points_of.test, each[0]))
            cell = CELL if levels else None
            return [
                densities.compared(log_p, simple, densities.known(points_of), data, cell),
                points.judged(
                    model.sample(params, draw_key, points.DRAWN), points_of.test, points_of.centres, judge_key
                ),
            ]

        kind = "affine couplings (RealNVP)" if self.transform == "affine" else f"spline couplings of {self.bins} bins"
        title = f"normalising flow on {self.points.data}: {self.couplings} {kind}, {steps} steps"
        return MaximumLikelihood(
            model=model, batches=batches, optimiser=self.optimiser, title=title, taken=taken,
            returned=lambda x: x, drawn=drawn, findings=findings,
        )  # fmt: skip


def as_they_are(x: Tensor, key: Key) -> Tensor:
    """Points without noise."""
    return x


def spread(x: Tensor, key: Key) -> Tensor:
    """Levels with uniform noise over their cells."""
    return x + CELL * (keys.uniform(key, (1, *x.shape), x.dtype)[0] - 0.5)

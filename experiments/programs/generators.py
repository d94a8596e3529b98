"""What kinds of generators share: their settings' checks, their points and their batches."""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from torch import Tensor

from jensen.core.models.transport import fields
from jensen.core.models.transport.fields import Mlp
from jensen.experiments.data.batches import Epochs
from jensen.experiments.data.images import on_device
from jensen.experiments.data.points import PointData, Points
from jensen.experiments.programs.sized import Sized
from jensen.experiments.run.errors import InputError
from jensen.experiments.run.optimisers import Optimiser
from jensen.experiments.run.program import Prepared
from jensen.experiments.run.settings import Run


def perceptron(points: PointData, data: int, hidden: tuple[int, ...], outputs: int | None = None) -> Mlp:
    """A field over data: in the plane of slow times and fine weights, without which two moons run into each other."""
    if points.images:
        return fields.mlp(data, hidden, outputs=outputs)
    return fields.mlp(data, hidden, outputs=outputs, frequencies=3, fineness=4.0)


@dataclass(frozen=True)
class PointSettings(Sized, ABC):
    """The part that kinds share; each has these fields in an order of its own."""

    if TYPE_CHECKING:
        points: PointData
        hidden: tuple[int, ...]
        optimiser: Optimiser
        run: Run

    def check(self) -> None:
        """Raises an InputError for the first setting that cannot work."""
        self.run.check()
        self.optimiser.check()
        self.points.check()
        if self.run.dtype == "bfloat16":
            raise InputError("distances of points need more digits than --dtype bfloat16 has: use float32 or float64")
        self.check_positive(*(("--hidden", size) for size in self.hidden))

    @abstractmethod
    def program(self, batches: Epochs, data: int, steps: int) -> Any:
        """What is trained, of points in so many dimensions."""

    def prepare(self) -> Prepared[Any, Tensor, Points]:
        """Loads the points and builds the program. InputError for what does not go together."""
        points = Points(*(on_device(part, self.run) for part in self.points.load(self.run.seed)))
        size = len(points.train) - int(self.run.share_held_out * len(points.train))
        if size < self.run.batch:
            raise InputError(f"--batch {self.run.batch} exceeds the {size} training points: pass at most that many")
        held_out = points.train[size:] if size < len(points.train) else points.test
        batches = Epochs(size, self.run.batch, self.run.keep_last)
        program = self.program(batches, points.train.shape[1], self.run.total(batches.steps))
        return Prepared(program, points.train[:size], held_out, points)

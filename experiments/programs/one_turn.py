"""What programs of one model share: one turn over it, one optimiser, batches of one source."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from matplotlib.figure import Figure

from jensen.core.contracts import Key
from jensen.core.trees import Params, Tree
from jensen.experiments.data.batches import Epochs, Windows
from jensen.experiments.run.optimisers import Optimiser
from jensen.experiments.run.program import Batch, Data, Out, Schedule, Turn, Weights


@dataclass(frozen=True)
class OneTurn(ABC):
    """A program of one group of parameters; each has these fields in an order of its own."""

    group: ClassVar[str] = "model"
    if TYPE_CHECKING:
        batches: Epochs | Windows
        optimiser: Optimiser

    @abstractmethod
    def loss(self, params: Params, state: Tree, batch: Batch, key: Key, weights: Weights) -> Out:
        """Of the one turn."""

    @property
    def turns(self) -> tuple[Turn, ...]:
        return (Turn(self.loss, (self.group,)),)

    @property
    def optimisers(self) -> Mapping[str, Optimiser]:
        return {self.group: self.optimiser}

    @property
    def schedules(self) -> Mapping[str, Schedule]:
        return {}

    @property
    def epoch(self) -> int:
        return self.batches.steps

    def batch(self, data: Data, key: Key, step: int, /) -> Batch:
        return self.batches.take(data, key, step)

    def figures(self, params: Params, state: Tree, data: Any, key: Key, /) -> dict[str, Figure]:
        return {}

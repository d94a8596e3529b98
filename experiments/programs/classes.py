"""Programs that draw data of a class that is asked for: what they have beside others, and classes in turn."""

from typing import Protocol, runtime_checkable

import torch
from torch import Tensor

from jensen.core.contracts import Key
from jensen.core.trees import Params, Tree


@runtime_checkable
class DrawingClasses(Protocol):
    """A program whose draws may be of a class."""

    @property
    def columns(self) -> int | None:
        """How many classes there are; None where draws are of none."""
        ...

    def sample_of(self, params: Params, state: Tree, key: Key, labels: Tensor) -> Tensor:
        """(n, D), in the data's own units, of these labels (n,)."""
        ...


def in_turn(n: int, classes: int | None, device: torch.device) -> Tensor | None:
    """The labels 0, 1, ..., classes - 1, 0, ..., (n,); None without classes."""
    return None if classes is None else torch.arange(n, device=device) % classes

"""Adam (Kingma and Ba, 2015) as a function of trees: steps up a gradient."""

from typing import TypeVar

import torch
from jaxtyping import Float
from torch import Tensor

from jensen.core import trees

FIRST, EPSILON = 0.9, 1e-8
T = TypeVar("T")


def ascent(
    tree: T, first: T, second: T, slopes: T, step: Float[Tensor, ""], step_size: float | Tensor, decay: float = 0.99
) -> tuple[T, T, T]:
    """The tree after its `step`-th step, from 1, and the moments of its gradient; decay is the second moment's."""
    first = trees.map(lambda m, g: FIRST * m + (1 - FIRST) * g, first, slopes)
    second = trees.map(lambda v, g: decay * v + (1 - decay) * g.square(), second, slopes)

    def moved(t: Tensor, m: Tensor, v: Tensor) -> Tensor:
        return t + step_size * m / (1 - FIRST**step) / (torch.sqrt(v / (1 - decay**step)) + EPSILON)

    return trees.map(moved, tree, first, second), first, second

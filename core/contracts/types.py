"""What every contract speaks of: keys, noise, events, log densities."""

from collections.abc import Callable
from typing import TypeAlias

from jaxtyping import Int
from torch import Tensor

from jensen.core.trees import Tree

Key: TypeAlias = Int[Tensor, "3"]  # see `keys`
Noise: TypeAlias = Tree  # (s, n, ...): a tensor, or a tree of tensors
Event: TypeAlias = Tree  # (s, n, *event): a tensor, or a tree of tensors
LogDensity: TypeAlias = Callable[[Event], Tensor]  # z (s, n, *event) -> (s, n)

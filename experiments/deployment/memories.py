"""What a network of sequences remembers, as tensors of rows that a program takes and gives back."""

from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from jensen.core.models.autoregressive import recurrent, transformer
from jensen.core.models.autoregressive.recurrent import Recurrent
from jensen.core.models.autoregressive.sequences import Memory
from jensen.core.models.autoregressive.transformer import Transformer
from jensen.core.nn.attention import Slots
from jensen.core.nn.recurrent import CELLS
from jensen.experiments.deployment.manifest import Argument, Dtype


class Carried(Protocol):
    """A network's memory, between the model's own form and tensors."""

    @property
    def arguments(self) -> tuple[Argument, ...]:
        """Of one row."""
        ...

    def unpacked(self, tensors: tuple[Tensor, ...], position: Tensor) -> Memory:
        """As the model reads on from it; position (n,): how many each row has read."""
        ...

    def packed(self, memory: Memory) -> tuple[Tensor, ...]:
        """The inverse."""
        ...


@dataclass(frozen=True)
class Caches:
    """A transformer's keys and values, of as many positions as the context has; those to come are not looked at."""

    model: Transformer
    dtype: Dtype

    @property
    def arguments(self) -> tuple[Argument, ...]:
        block = self.model.block
        shape = (self.model.layers, block.heads, self.model.context, block.features // block.heads)
        return tuple(
            Argument(name, self.dtype, shape, "of each block, zeros before the start") for name in ("keys", "values")
        )

    def unpacked(self, tensors: tuple[Tensor, ...], position: Tensor) -> transformer.Memory:
        keys, values = tensors
        return tuple(Slots(keys[:, i], values[:, i], position) for i in range(self.model.layers))

    def packed(self, memory: transformer.Memory) -> tuple[Tensor, ...]:
        return torch.stack([cache.keys for cache in memory], 1), torch.stack([cache.values for cache in memory], 1)


@dataclass(frozen=True)
class States:
    """A recurrent network's states, of each layer."""

    model: Recurrent
    dtype: Dtype

    @property
    def arguments(self) -> tuple[Argument, ...]:
        shape, names = (self.model.layers, self.model.features), ("h", "c")[: CELLS[self.model.cell].states]
        return tuple(Argument(name, self.dtype, shape, "of each layer, zeros before the start") for name in names)

    def unpacked(self, tensors: tuple[Tensor, ...], position: Tensor) -> recurrent.Memory:
        return tuple(tuple(each[:, i] for each in tensors) for i in range(self.model.layers))

    def packed(self, memory: recurrent.Memory) -> tuple[Tensor, ...]:
        return tuple(torch.stack(of, 1) for of in zip(*memory, strict=True))

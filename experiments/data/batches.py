"""Batches as pure functions of a key and a step: no loader has a state to resume, and a run can start at any step.

Data are trees of tensors with the datum axis first. A batch is {"datum": (n,) places in the data, "data": their rows}.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache

import torch
from torch import Tensor

from jensen.core import keys, trees
from jensen.core.contracts import Key
from jensen.core.trees import Tree


@dataclass(frozen=True)
class Epochs:
    """Every datum once an epoch, in an order that is new in each; the last incomplete batch by choice."""

    size: int
    batch: int
    keep_last: bool = False

    @property
    def steps(self) -> int:
        """Of an epoch."""
        return -(-self.size // self.batch) if self.keep_last else self.size // self.batch

    def take(self, data: Tree, key: Key, step: int) -> Tree:
        """The batch of a step."""
        epoch, place = divmod(step, self.steps)
        order = _order(tuple(key.tolist()), epoch, self.size, key.device)
        rows = order[place * self.batch : (place + 1) * self.batch]
        return {"datum": rows, "data": trees.map(lambda t: t.index_select(0, rows), data)}


@dataclass(frozen=True)
class Windows:
    """`length` consecutive tokens from random places of a text: {"datum": first places, "data": tokens}.

    The text is rows of tokens, one after another; a window may begin anywhere in a row.
    """

    size: int  # tokens of the text
    length: int
    batch: int

    @property
    def steps(self) -> int:
        """After which so many tokens have been read as there are."""
        return max(1, self.size // (self.batch * self.length))

    def take(self, data: Tensor, key: Key, step: int) -> Tree:
        """The batch of a step, tokens (batch, length), of rows (n, m)."""
        text = data.flatten()
        first = keys.bits(keys.fold_in(key, step), (self.batch,)) % (len(text) - self.length + 1)
        return {"datum": first, "data": text[first[:, None] + torch.arange(self.length, device=text.device)]}


@dataclass(frozen=True)
class Streams:
    """Several sources, each with batches of its own: data and batches by the sources' names."""

    sources: Mapping[str, Epochs | Windows]

    def take(self, data: Mapping[str, Tree], key: Key, step: int) -> Tree:
        """Each source's batch of a step, under its name."""
        each = enumerate(self.sources.items())
        return {name: source.take(data[name], keys.fold_in(key, i), step) for i, (name, source) in each}


def chunks(data: Tree, size: int) -> Iterator[tuple[int, Tree]]:
    """(first datum, rows) of consecutive parts of the data."""
    for start in range(0, length(data), size):
        stop = start + size
        yield start, trees.map(lambda t, a=start, b=stop: t[a:b], data)


def length(data: Tree) -> int:
    """How many data there are."""
    return len(trees.leaves(data)[0])


@lru_cache(maxsize=8)
def _order(key: tuple[int, ...], epoch: int, size: int, device: torch.device) -> Tensor:
    """The order of an epoch; steps of one epoch ask for it again and again."""
    return keys.permutation(keys.fold_in(torch.tensor(key, device=device), epoch), size)

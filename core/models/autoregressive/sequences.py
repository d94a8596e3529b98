"""What autoregressive models share: p(x) = p(x_1) p(x_2 | x_1) ... of sequences of symbols x (n, t).

A learned vector stands before the first symbol, so that log p(x) is a density of whole sequences of a length. Networks
read vectors (n, t, d) one part after another, with a memory of what came before: the whole is read at once to train,
and symbol by symbol to draw.
"""

from abc import ABC, abstractmethod
from typing import Any, TypeAlias

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn import functional as F

from jensen.core import trees
from jensen.core.checks import check_count, check_tensor
from jensen.core.concrete import is_concrete
from jensen.core.contracts import Key
from jensen.core.numerics import at_least_float32
from jensen.core.trees import Params

Memory: TypeAlias = Any  # a tree of tensors: keys and values, or hidden states


class Autoregressive(ABC):
    """A network over sequences; every method is a pure function of its parameters.

    Parameters hold {"embedding": (symbols, d), "start": (d,)} beside the network's own.
    """

    symbols: int

    @property
    def longest(self) -> int | None:
        """Symbols of the longest sequence, None for any."""
        return None

    @abstractmethod
    def init(self, key: Key, dtype: torch.dtype = torch.float32, /) -> Params:
        """Parameters on the key's device."""

    @abstractmethod
    def read(
        self, params: Params, inputs: Float[Tensor, "n t d"], memory: Memory | None, key: Key | None = None, /
    ) -> tuple[Float[Tensor, "n t d"], Memory]:
        """Features of each position given those up to it, and the memory of them all; None is nothing yet.

        key: for what is dropped in training; nothing is for None.
        """

    @abstractmethod
    def output(self, params: Params, features: Float[Tensor, "n t d"], /) -> Float[Tensor, "n t v"]:
        """Logits over the symbols."""

    @abstractmethod
    def check_params(self, params: Params) -> None:
        """A KeyError unless they have the keys that the settings ask for."""

    def logits(self, params: Params, x: Int[Tensor, "n t"], key: Key | None = None, /) -> Float[Tensor, "n t v"]:
        """Unnormalised log p(x_t | x_1, ..., x_(t-1)) of every symbol at every position: position 0 is of the first.

        ValueError for symbols out of range, while torch runs eagerly, and for sequences longer than the context.
        """
        self.check_params(params)
        self.check(x)
        inputs = torch.cat([self._start(params, len(x)), params["embedding"][x[:, :-1]]], 1)
        return self.output(params, self.read(params, inputs, None, key)[0])

    def log_probs(self, params: Params, x: Int[Tensor, "n t"], key: Key | None = None, /) -> Float[Tensor, "n t"]:
        """log p(x_t | x_1, ..., x_(t-1)) in nats per symbol. ValueError as for `logits`."""
        logits = at_least_float32(self.logits(params, x, key))
        return -F.cross_entropy(logits.flatten(0, 1), x.flatten(), reduction="none").unflatten(0, x.shape)

    def log_prob(self, params: Params, x: Int[Tensor, "n t"], key: Key | None = None, /) -> Float[Tensor, " n"]:
        """log p(x) in nats per sequence. ValueError as for `logits`."""
        return self.log_probs(params, x, key).sum(-1)

    def with_room(self, memory: Memory, length: int, /) -> Memory:
        """The same memory, with room for so many positions in all, which `extend` then writes in place.

        Of one reader without gradients, who goes on from the last position alone. A memory that does not grow is
        itself.
        """
        return memory

    def begin(self, params: Params, n: int, /) -> tuple[Float[Tensor, "n v"], Memory]:
        """Logits of the first symbol of n sequences, and the memory to go on with."""
        self.check_params(params)
        h, memory = self.read(params, self._start(params, check_count("n", n)), None)
        return self.output(params, h)[:, -1], memory

    def extend(self, params: Params, x: Int[Tensor, "n t"], memory: Memory, /) -> tuple[Float[Tensor, "n v"], Memory]:
        """Logits of the symbol after x, the next t of each sequence, and the memory with them. ValueError as above.

        params: those that the memory was begun with; they are not looked at again.
        """
        self.check(x)
        h, memory = self.read(params, params["embedding"][x], memory)
        return self.output(params, h[:, -1:])[:, 0], memory

    def check(self, x: Tensor, name: str = "x") -> None:
        """Raises unless x (n, t), of this name, holds symbols, t >= 1."""
        check_tensor(name, x, "n t", "one sequence is x[None]")
        if x.dtype not in (torch.int32, torch.int64):
            raise TypeError(f"expected {name}, whole numbers, got {x.dtype}: convert them with {name}.long()")
        if x.shape[1] == 0:
            raise ValueError(f"expected {name} (n, t) of a symbol or more, got none: the text is empty")
        if self.longest is not None and x.shape[1] > self.longest:
            raise ValueError(
                f"expected {name} of {self.longest} symbols, the context, or fewer, got {x.shape[1]}: cut it"
            )
        if is_concrete(x) and x.numel():
            least, most = (int(end) for end in x.aminmax())
            if least < 0 or most >= self.symbols:
                raise ValueError(
                    f"expected {name} of symbols from 0 to {self.symbols - 1}, got from {least} to {most}: "
                    "it is of another alphabet"
                )

    def _start(self, params: Params, n: int) -> Float[Tensor, "n 1 d"]:
        return params["start"].expand(n, 1, -1)


def memory_bytes(memory: Memory) -> int:
    """What a memory of `begin` or `extend` takes; a transformer's is 2 layers n t features numbers after t symbols."""
    return sum(t.nbytes for t in trees.leaves(memory))

"""Models of sequences of symbols as functions of rows: score, and what draws symbol by symbol, step and prefill.

    symbol, *memory = prefill(x, length, *how)              # x (n, p), of which `length` are the prompt
    symbol, *memory = step(symbol, position, *how, *memory)  # position: length + 1, then one more each time

`how` is a key and the settings of `sampling.Choice`. A step is a function of its inputs alone: rows may be at different
positions, and whoever carries the memory may join and part them. Without a prompt `step` begins with the symbol `start`
at position 0 and a memory of zeros.
"""

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor
from torch._higher_order_ops import while_loop

from jensen.core.models.autoregressive.recurrent import Recurrent
from jensen.core.models.autoregressive.sequences import Autoregressive
from jensen.core.models.autoregressive.transformer import Transformer
from jensen.core.numerics import at_least_float32
from jensen.core.trees import Params, Tree
from jensen.experiments.deployment.choosing import DRAWN_BY, drawn
from jensen.experiments.deployment.functions import Functions, Rows, dtype_of
from jensen.experiments.deployment.manifest import BYTES, Argument, Sequences
from jensen.experiments.deployment.memories import Caches, Carried, States

SYMBOL = ("symbol", "that is drawn")


@dataclass(frozen=True)
class Reading(ABC):
    """A network that reads one symbol after another."""

    model: Autoregressive
    memory: Carried

    @property
    def start(self) -> int:
        """Stands for the learned vector before the first symbol."""
        return self.model.symbols

    @abstractmethod
    def score(self, tree: Tree, x: Tensor, length: Tensor) -> tuple[Tensor, Tensor]:
        """log p and bits per symbol of the first `length` of x (n, t)."""

    @abstractmethod
    def prefill(self, tree: Tree, x: Tensor, length: Tensor, *how: Tensor) -> tuple[Tensor, ...]:
        """The symbol after the first `length` of x (n, p), and the memory of them."""

    def step(self, tree: Tree, symbol: Tensor, position: Tensor, *given: Tensor) -> tuple[Tensor, ...]:
        """The symbol at a position, by its key and settings, and the memory."""
        how, memory = given[: len(DRAWN_BY)], given[len(DRAWN_BY) :]
        logits, *memory = self.read(tree["params"]["model"], symbol, position, *memory)
        return drawn(logits, position, *how), *memory

    def read(self, params: Params, symbol: Tensor, position: Tensor, *memory: Tensor) -> tuple[Tensor, ...]:
        """Logits (n, v) of what follows a symbol (n,), and the memory with it."""
        inputs = self.embedded(params, symbol[:, None])
        h, after = self.model.read(params, inputs, self.memory.unpacked(memory, position))
        return self.model.output(params, h)[:, 0], *self.memory.packed(after)

    def embedded(self, params: Params, x: Tensor) -> Tensor:
        """Vectors of symbols and of the start."""
        known = params["embedding"][x.clamp(max=self.start - 1)]
        return torch.where((x == self.start)[..., None], params["start"], known)

    def after_start(self, x: Tensor) -> Tensor:
        return torch.cat([torch.full_like(x[:, :1], self.start), x], 1)


@dataclass(frozen=True)
class AtOnce(Reading):
    """A transformer, which reads a whole window at once."""

    def score(self, tree: Tree, x: Tensor, length: Tensor) -> tuple[Tensor, Tensor]:
        params = tree["params"]["model"]
        h, _ = self.model.read(params, self.embedded(params, self.after_start(x[:, :-1])), None)
        each = _log_p(self.model.output(params, h), x)
        counted = torch.arange(x.shape[1], device=x.device) < length[:, None]
        return _scored(torch.where(counted, each, 0).sum(1), length)

    def prefill(self, tree: Tree, x: Tensor, length: Tensor, *how: Tensor) -> tuple[Tensor, ...]:
        params = tree["params"]["model"]
        h, memory = self.model.read(params, self.embedded(params, self.after_start(x)), None)
        last = torch.arange(h.shape[1], device=x.device) == length[:, None]
        logits = self.model.output(params, torch.where(last[..., None], h, 0).sum(1, keepdim=True))[:, 0]
        return drawn(logits, length, *how), *self.memory.packed(memory)


@dataclass(frozen=True)
class InTurn(Reading):
    """A recurrent network, which reads symbol by symbol."""

    def score(self, tree: Tree, x: Tensor, length: Tensor) -> tuple[Tensor, Tensor]:
        def added(i: Tensor, logits: Tensor, total: Tensor) -> Tensor:
            following = x.index_select(1, i[None])
            return total + torch.where(i < length, _log_p(logits[:, None], following)[:, 0], 0)

        return _scored(self._over(tree, x, length - 1, added, self._zeros(x))[0], length)

    def prefill(self, tree: Tree, x: Tensor, length: Tensor, *how: Tensor) -> tuple[Tensor, ...]:
        def kept(i: Tensor, logits: Tensor, last: Tensor) -> Tensor:
            return torch.where((i == length)[:, None], logits, last)

        last, memory = self._over(tree, x, length, kept, self._zeros(x, self.model.symbols))
        return drawn(last, length, *how), *memory

    def _over(
        self, tree: Tree, x: Tensor, last: Tensor, fold: Callable[[Tensor, Tensor, Tensor], Tensor], begun: Tensor
    ) -> tuple[Tensor, tuple[Tensor, ...]]:
        """What is folded of the logits after the start and each symbol up to place `last`, and the memory there."""
        params, symbols = tree["params"]["model"], self.after_start(x)
        memory = tuple(self._zeros(x, *each.shape) for each in self.memory.arguments)

        def goes_on(i: Tensor, *_: Tensor) -> Tensor:
            return i <= last.max()

        def read(i: Tensor, found: Tensor, *memory: Tensor) -> tuple[Tensor, ...]:
            symbol = symbols.index_select(1, i[None])[:, 0]
            logits, *after = self.read(params, symbol, i.expand(symbol.shape), *memory)
            more = [torch.where((i <= last)[:, None, None], new, old) for new, old in zip(after, memory, strict=True)]
            return i + 1, fold(i, logits, found), *more

        first = torch.zeros((), dtype=torch.int64, device=x.device)
        _, found, *memory = while_loop(goes_on, read, (first, begun, *memory))
        return found, tuple(memory)

    def _zeros(self, x: Tensor, *shape: int) -> Tensor:
        return torch.zeros((x.shape[0], *shape), dtype=getattr(torch, self.memory.arguments[0].dtype), device=x.device)


def functions(model: Autoregressive, tree: Tree, longest: int, files: Mapping[str, str]) -> Functions:
    """Score of windows of up to `longest` symbols, and step and prefill for those who draw.

    tree: {"params": {"model": ...}}; files: the tokenizer's, none for a model of bytes.
    """
    of = reading(model, tree["params"]["model"])
    symbols = f"symbols, whole numbers below {model.symbols}; what follows `length` of them is not looked at"
    x, prompt = (Argument("x", "int64", (n,), symbols, 0, of.start - 1) for n in (longest, longest - 1))
    memory = of.memory.arguments
    last = None if model.longest is None else longest - 1
    scored = (("log_p", "of `length` symbols, in nats"), ("bits", "per symbol"))
    carried = (SYMBOL, *((each.name, "the memory with what was read") for each in memory))
    one = Argument("symbol", "int64", (), f"the last symbol; {of.start} before the first", 0, of.start)
    at = Argument("position", "int64", (), "how many the memory has read, the start among them", 0, last)
    rows = {
        "score": Rows("log p of symbols", of.score, (x, _length(longest)), scored),
        "prefill": Rows("the symbol after a prompt", of.prefill, (prompt, _length(longest - 1), *DRAWN_BY), carried),
        "step": Rows("the symbol after another", of.step, (one, at, *DRAWN_BY, *memory), carried),
    }
    together = Sequences(of.start, model.longest, tuple(each.name for each in memory), next(iter(files), BYTES))
    return Functions(tree, rows, {}, together, files)


def reading(model: Autoregressive, params: Params) -> AtOnce | InTurn:
    """By the kind of model. TypeError for another."""
    dtype = dtype_of(params["embedding"])
    if isinstance(model, Transformer):
        return AtOnce(model, Caches(model, dtype))
    if isinstance(model, Recurrent):
        return InTurn(model, States(model, dtype))
    raise TypeError(f"expected a transformer or a recurrent network, got {type(model).__name__}: it is not exported")


def _length(most: int) -> Argument:
    return Argument("length", "int64", (), "how many symbols of x count", 1, most)


def _log_p(logits: Tensor, x: Tensor) -> Tensor:
    """Of symbols (n, t) by their logits (n, t, v)."""
    return torch.log_softmax(at_least_float32(logits), -1).gather(-1, x[..., None])[..., 0]


def _scored(log_p: Tensor, length: Tensor) -> tuple[Tensor, Tensor]:
    return log_p, -log_p / (length * math.log(2))

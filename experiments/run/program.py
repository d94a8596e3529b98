"""What the loop trains: a value of pure functions. The loop knows steps, states and files, and nothing of models.

A step is one turn: its loss is differentiated in the groups of parameters it names, the top-level keys of `params`, and
each group has an optimiser of its own.

    vae, flow          turns = (Turn(loss, ("model",)),)
    nvil, relax        turns = (Turn(loss, ("model", "baseline")),)
    wgan-gp            turns = (Turn(critic, ("critic",)),) * 5 + (Turn(generator, ("generator",)),)

What is learned without a gradient (an EMA codebook, a power iteration, a Lagrange multiplier) is `state`: in, and out.
"""

from collections.abc import Callable, Mapping
from typing import Generic, NamedTuple, Protocol, TypeAlias, TypeVar, runtime_checkable

from matplotlib.figure import Figure
from torch import Tensor

from jensen.core.contracts import Key
from jensen.core.trees import Params, Tree
from jensen.experiments.run.optimisers import Optimiser

Batch: TypeAlias = Tree  # tensors with the datum axis first
Data: TypeAlias = Tree
Weights: TypeAlias = dict[str, Tensor]  # 0-d, by the name of their schedule
Schedule: TypeAlias = Callable[[int], float]
Row: TypeAlias = dict[str, str | int | float | bool | None]


class Out(NamedTuple):
    """What a turn's loss gives: 0-d, what is minimised; (n,) each, per datum; the new state, detached by the loop."""

    loss: Tensor
    terms: dict[str, Tensor]  # logged as means, and searched for the first datum that is not finite
    state: Tree
    seen: Tree = ()  # (n, ...) each: what the state follows, where a turn has `follow`


class Turn(NamedTuple):
    """A loss, (params, state, batch, key, weights) -> Out, and the groups of params that follow its gradient.

    Of a batch in parts the new state is the mean of those that the parts' losses leave, or else what `follow` makes of
    all that they have seen: (state, seen, key) -> the new state and terms' means, those of the loss of a whole batch.
    """

    loss: Callable[[Params, Tree, Batch, Key, Weights], Out]
    groups: tuple[str, ...]
    follow: Callable[[Tree, Tree, Key], tuple[Tree, dict[str, Tensor]]] | None = None


class Finding(NamedTuple):
    """One thing a report says: rows of numbers, a summary in words, and a figure or none."""

    name: str
    rows: list[Row]
    summary: str
    figure: Figure | None = None


@runtime_checkable
class Coupled(Protocol):
    """A program that may need its batches whole."""

    @property
    def coupling(self) -> str | None:
        """Where data of a batch meet, in words; None where they do not."""
        ...


class Program(Protocol):
    """A training problem. Step i takes turn i modulo their number; every function is pure."""

    @property
    def turns(self) -> tuple[Turn, ...]: ...

    @property
    def optimisers(self) -> Mapping[str, Optimiser]:
        """One per group of parameters."""
        ...

    @property
    def schedules(self) -> Mapping[str, Schedule]:
        """Numbers by step and name, such as the KL's weight: they reach the losses as `weights`."""
        ...

    @property
    def epoch(self) -> int:
        """Steps after which held-out data are scored."""
        ...

    def init(self, key: Key, data: Data, /) -> tuple[Params, Tree]:
        """Parameters by group, and the state, from training data."""
        ...

    def batch(self, data: Data, key: Key, step: int, /) -> Batch:
        """The batch of a step: a function of the key and the step alone, so that no loader has a state to resume."""
        ...

    def score(self, params: Params, state: Tree, batch: Batch, key: Key, /) -> Tensor:
        """(n,), to be raised on held-out data: recorded and drawn at each epoch, and what stopping early follows."""
        ...

    def figures(self, params: Params, state: Tree, data: Data, key: Key, /) -> dict[str, Figure]:
        """Drawn at each checkpoint from held-out data, so that a long run can be watched."""
        ...

    def report(self, params: Params, state: Tree, data: Data, key: Key, /) -> list[Finding]:
        """What the trained parameters are worth on test data."""
        ...


P = TypeVar("P", bound=Program, covariant=True)
T = TypeVar("T", covariant=True)
D = TypeVar("D", covariant=True)


class Prepared(NamedTuple, Generic[P, T, D]):
    """A program with its data: to train on, to be scored at each epoch, and to draw, judge and report by."""

    program: P
    train: T
    held_out: T
    data: D

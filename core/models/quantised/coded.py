"""The Protocol of models whose latents are codes, whichever is trained, and whichever a prior of codes is of.

    params, state = model.init(key, x)              # training data x (N, D)
    step = model.step(params, state, x, key)        # maximise step.terms.objective.mean()
    state = step.state

    codes = model.codes(params, state, x)           # codes out: of model.maps, what a prior is trained on
    x = model.decode_codes(params, state, codes)    # codes in: the prior's, as images

`codes` and `decode_codes` draw nothing and leave the state. Codes of one map are a tensor (n, *map.shape) of whole
numbers below map.size; those of several are a tuple of such tensors, the coarsest first, so that a prior can draw each
map given those before it. `trees.leaves(codes)` are those of `model.maps` either way.
"""

import math
from typing import NamedTuple, Protocol, runtime_checkable

from jaxtyping import Float
from torch import Tensor

from jensen.core.checks import check_tensor, check_value, described
from jensen.core.contracts import Distribution, Key, can
from jensen.core.models.quantised.quantiser import Quantised, Quantiser
from jensen.core.objectives import Terms
from jensen.core.trees import Params, Tree


class CodeMap(NamedTuple):
    """The codes of one datum: where they are, and how many there are to choose from."""

    positions: tuple[int, ...]
    size: int
    levels: int | None = None  # of a position that has several codes, along a last axis

    @property
    def shape(self) -> tuple[int, ...]:
        return self.positions if self.levels is None else (*self.positions, self.levels)

    @property
    def bits(self) -> float:
        """Of a datum's codes where all are as probable."""
        return math.prod(self.shape) * math.log2(self.size)


class Step(NamedTuple):
    """A step of training on data (n, D)."""

    terms: Terms  # (n,) each, in nats per datum
    penalties: dict[str, Float[Tensor, " n"]]  # what the terms' penalty sums, by name
    codes: Tree  # as drawn in training
    state: Tree  # the next one
    seen: Tree = ()  # what it follows, (n, ...) each, without a gradient


@runtime_checkable
class CodedModel(Protocol):
    """A model of flat data x (n, D) whose latents are maps of codes; every method is a pure function.

    maps          of the codes, one for each of their leaves
    init          parameters, which follow a gradient, and the state, which does not, from training data
    step          a step of training; the key is for what is drawn, if anything is
    follow        the state that `step` leaves of data of which this was seen, with the key that it had
    codes         of data, the most probable ones
    likelihood    p(x | codes), fields (n, D)
    decode_codes  its mean
    independent   its kind of likelihood, fitted to each component of x alone
    """

    @property
    def maps(self) -> tuple[CodeMap, ...]: ...
    def init(self, key: Key, x: Tensor, /) -> tuple[Params, Tree]: ...
    def step(self, params: Params, state: Tree, x: Tensor, key: Key, /) -> Step: ...
    def follow(self, state: Tree, seen: Tree, key: Key, /) -> Tree: ...
    def codes(self, params: Params, state: Tree, x: Tensor, /) -> Tree: ...
    def likelihood(self, params: Params, state: Tree, codes: Tree, /) -> Distribution: ...
    def decode_codes(self, params: Params, state: Tree, codes: Tree, /) -> Tensor: ...
    def independent(self, x: Tensor, /) -> Distribution: ...


class Averaged(Protocol):
    """A distribution with a mean."""

    def mean(self) -> Tensor: ...


def mean_of(p: Distribution) -> Tensor:
    """TypeError where it has none."""
    if not can(p, Averaged):
        raise TypeError(f"expected p(x | codes) with a mean, got {type(p).__name__}: give it mean(), or sample it")
    return p.mean()


def step_of(q: Quantised, p: Distribution, x: Float[Tensor, "n D"]) -> Step:
    """A step's terms, of q and of p(x | codes) with q.z for the codes' vectors."""
    return Step(q.objective(p.log_prob(x)), q.terms, q.codes, q.state, q.seen)


def map_of(quantiser: Quantiser, positions: tuple[int, ...]) -> CodeMap:
    """The codes that a quantiser gives a grid of vectors."""
    return CodeMap(positions, quantiser.size, getattr(quantiser, "depth", None))


def check_code_map(name: str, value: object) -> None:
    if not isinstance(value, CodeMap):
        raise TypeError(f"expected {name}, a CodeMap, got {described(value)}: pass one of a model's maps")


def check_map(codes: object, of: CodeMap, name: str = "codes") -> None:
    """Codes (n, *shape); their range is the quantiser's to check."""
    check_tensor(name, codes, " ".join(("n", *map(str, of.shape))), "as `codes` gives them, with a batch axis first")


def check_quantiser(name: str, value: object) -> None:
    """A value with the methods of a `Quantiser`, and not its class."""
    check_value(name, value, Quantiser, "Vq(512)")

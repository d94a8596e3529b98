"""Summaries of data for a posterior that is amortised over them: settings, with `init` and `apply` of a network.

`flattened` takes x as it is, `Perceptron` learns from vectors and arrays, `Exchangeable` from sets, such as repeated
measurements, whose order tells nothing.
"""

import math
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Float
from torch import Tensor

from jensen.core.checks import check_count, check_sizes
from jensen.core.contracts import Key
from jensen.core.nn import deep_set, mlp
from jensen.core.trees import Params


@runtime_checkable
class Summary(Protocol):
    """x (n, *event), standardised -> (n, c); `alike` is how many of the event's first axes are standardised as one."""

    alike: int

    def init(self, key: Key, event: tuple[int, ...], /) -> Params: ...
    def apply(self, params: Params, x: Float[Tensor, "n *event"], /) -> Float[Tensor, "n c"]: ...


@dataclass(frozen=True)
class Flattened:
    """x as one vector."""

    alike = 0

    def init(self, key: Key, event: tuple[int, ...], /) -> Params:
        return {}

    def apply(self, params: Params, x: Float[Tensor, "n *event"], /) -> Float[Tensor, "n c"]:
        return x.reshape(len(x), -1)


flattened = Flattened()


@dataclass(frozen=True)
class Perceptron:
    """`nn.mlp` of x as one vector."""

    outputs: int
    hidden: tuple[int, ...] = (64,)
    alike = 0

    def __post_init__(self) -> None:
        check_count("outputs", self.outputs)
        check_sizes("hidden", self.hidden)

    def init(self, key: Key, event: tuple[int, ...], /) -> Params:
        return mlp.init(key, (math.prod(event), *self.hidden, self.outputs))

    def apply(self, params: Params, x: Float[Tensor, "n *event"], /) -> Float[Tensor, "n c"]:
        return mlp.apply(params, flattened.apply({}, x))


@dataclass(frozen=True)
class Exchangeable:
    """`nn.deep_set` of x (n, m) or (n, m, i), m elements of one number or of i."""

    outputs: int
    hidden: tuple[int, ...] = (64,)
    alike = 1

    def __post_init__(self) -> None:
        check_count("outputs", self.outputs)
        if not check_sizes("hidden", self.hidden):
            raise ValueError("expected hidden of one width or more, got (): pass (64,)")

    def init(self, key: Key, event: tuple[int, ...], /) -> Params:
        if len(event) not in (1, 2):
            raise ValueError(f"expected x of sets, (n, m) or (n, m, i), got (n, {str(event)[1:-1]}): see Perceptron")
        return deep_set.init(key, math.prod(event[1:]), self.hidden, self.outputs)

    def apply(self, params: Params, x: Float[Tensor, "n *event"], /) -> Float[Tensor, "n c"]:
        elements = x if x.ndim > 2 else x[..., None]
        every = torch.ones(elements.shape[:2], dtype=torch.bool, device=x.device)
        return deep_set.apply(params, elements, every)

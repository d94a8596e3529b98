"""Protocols of flows and of bijections onto constrained sets."""

from typing import Protocol, Self, runtime_checkable

from torch import Tensor

from jensen.core.contracts.types import Event


@runtime_checkable
class Flow(Protocol):
    """An invertible map of the event axes, with log |det| of its Jacobian, (s, n)."""

    def forward(self, z: Tensor, context: Tensor | None = None, /) -> tuple[Tensor, Tensor]: ...
    def inverse(self, z: Tensor, context: Tensor | None = None, /) -> tuple[Tensor, Tensor]: ...


@runtime_checkable
class PushesScore(Flow, Protocol):
    """From the gradient of log q in z that of log q' in z' = forward(z): J^-T (score - grad log det).

    For flows with a cheaper way than the derivative of `inverse`. z (s, n, d) and score are detached.
    """

    def push_score(self, z: Tensor, score: Tensor, context: Tensor | None = None, /) -> Tensor: ...


@runtime_checkable
class Normalising(Flow, Protocol):
    """A flow that starts from data: one of its kind after which values such as z are normalised."""

    def normalising(self, z: Tensor, /) -> Self: ...


@runtime_checkable
class Bijection(Flow, Protocol):
    """A flow from all of R^m onto a constrained set, whose events may have other axes: z (s, n, *m) to (s, n, *event).

    Values may be trees of tensors. `contains` tells which values (..., *event) are in the set, (...). The context is
    ignored.
    """

    def forward(self, z: Tensor, context: Tensor | None = None, /) -> tuple[Event, Tensor]: ...
    def inverse(self, value: Event, context: Tensor | None = None, /) -> tuple[Tensor, Tensor]: ...
    def contains(self, value: Event, /) -> Tensor: ...

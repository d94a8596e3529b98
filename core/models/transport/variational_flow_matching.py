"""Variational flow matching (Eijkelboom et al., 2024): q(x_1 | x_t) is learned, and its mean gives the velocity.

    x_t = (1 - t) x_0 + t x_1,    x_0 ~ N(0, I),  x_1 ~ data
    loss = -E log q(x_1 | x_t)                       q of each coordinate, or each choice, by itself
    velocity = (E_q x_1 - x) / (1 - t)

The velocity is linear in x_1, so that right means are enough, whatever q's shape. A `Normal` q of fixed scale has the
loss of `flow_matching`, times (1 - t)² / (2 scale²), plus a constant; `Choices` are for one-hot x_1, whose velocities
then point at the simplex.
"""

import math
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Float
from torch import Tensor

from jensen.core.checks import check_count, check_floating, check_key, check_number, check_value
from jensen.core.contracts import Key
from jensen.core.distributions import Categorical, DiagNormal
from jensen.core.models.transport import flow_matching
from jensen.core.models.transport.fields import Field
from jensen.core.trees import Params


@runtime_checkable
class Ends(Protocol):
    """q(x_1 | x_t) of a field's outputs (n, d)."""

    def log_prob(self, outputs: Tensor, x: Tensor, /) -> Tensor: ...
    def mean(self, outputs: Tensor, /) -> Tensor: ...


@dataclass(frozen=True)
class Normal:
    """N(outputs, scale² I)."""

    scale: float = 1.0

    def __post_init__(self) -> None:
        check_number("scale", self.scale, "(0, inf)")

    def log_prob(self, outputs: Float[Tensor, "n d"], x: Float[Tensor, "n d"], /) -> Float[Tensor, " n"]:
        """In nats per datum."""
        return DiagNormal(outputs, torch.full_like(outputs, math.log(self.scale))).log_prob(x)

    def mean(self, outputs: Float[Tensor, "n d"], /) -> Float[Tensor, "n d"]:
        """The outputs."""
        return outputs


@dataclass(frozen=True)
class Choices:
    """Independent choices with P = softmax(outputs): one-hot values side by side, d = classes times their number."""

    classes: int

    def __post_init__(self) -> None:
        check_count("classes", self.classes, 2)

    def log_prob(self, outputs: Float[Tensor, "n d"], x: Float[Tensor, "n d"], /) -> Float[Tensor, " n"]:
        """In nats per datum."""
        return Categorical(self._apart(outputs)).log_prob(self._apart(x))

    def mean(self, outputs: Float[Tensor, "n d"], /) -> Float[Tensor, "n d"]:
        """The probabilities."""
        return torch.softmax(self._apart(outputs), -1).flatten(-2)

    def _apart(self, t: Tensor) -> Tensor:
        return t.unflatten(-1, (-1, self.classes))


@dataclass(frozen=True)
class Velocity:
    """The field of velocities of a field of ends, for t < 1."""

    field: Field
    ends: Ends

    @property
    def data(self) -> int:
        """How many coordinates."""
        return self.field.data

    def init(self, key: Key, dtype: torch.dtype = torch.float32, /) -> Params:
        """The field's parameters."""
        return self.field.init(key, dtype)

    def __call__(self, params: Params, x: Float[Tensor, "n d"], t: Float[Tensor, " n"], /) -> Float[Tensor, "n d"]:
        """(E_q x_1 - x) / (1 - t)."""
        return (self.ends.mean(self.field(params, x, t)) - x) / (1 - t)[:, None]


@dataclass(frozen=True)
class VariationalFlow:
    """A field of the ends of paths; every method is a pure function of its parameters."""

    field: Field
    ends: Ends

    @property
    def velocity(self) -> Velocity:
        """What `flow_matching.build` takes."""
        return Velocity(self.field, self.ends)

    def init(self, key: Key, dtype: torch.dtype = torch.float32, /) -> Params:
        """The field's parameters."""
        return self.field.init(key, dtype)

    def loss(self, params: Params, x: Float[Tensor, "n d"], key: Key) -> Float[Tensor, " n"]:
        """-log q(x_1 | x_t) at a uniform time, in nats per datum: of the times and starts of `flow_matching`."""
        check_floating("x", x, f"n {self.field.data}", "one row per datum")
        check_key(key)
        t, start = flow_matching.times_and_starts(x, key)
        return -self.ends.log_prob(self.field(params, (1 - t) * start + t * x, t[:, 0]), x)

    def sample(
        self, params: Params, key: Key, n: int, steps: int = 100, dtype: torch.dtype = torch.float32
    ) -> Float[Tensor, "n d"]:
        """x_1 of n draws from N(0, I) by Euler's equal steps, the last of which ends at a mean.

        Of `Choices` its largest entries are the draw: x.unflatten(-1, (-1, classes)).argmax(-1).
        """
        return flow_matching.build(self.velocity).sample(params, key, n, steps, "euler", dtype)


def build(field: Field, ends: Ends = Normal()) -> VariationalFlow:
    """A flow to these ends, once its field is trained."""
    check_value("field", field, Field, "fields.mlp(2)")
    check_value("ends", ends, Ends, "Choices(3)")
    if isinstance(ends, Choices) and field.data % ends.classes:
        raise ValueError(
            f"expected a field of a multiple of {ends.classes} coordinates, got {field.data}: "
            "each choice has one for each class"
        )
    return VariationalFlow(field, ends)

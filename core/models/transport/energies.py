"""Energies: unnormalised densities exp(-energy(x)), their scores -grad energy(x), and a field that is a gradient.

A `Gradient` is a `Field` without curl: as a diffusion's noise it has learned, at each level of noise, a density that is
known up to its normaliser,

    noise(x_t) = grad energy(x_t, t),     log p_t(x) = -energy(x, t) / sqrt(1 - a_t) - log Z_t
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

from jensen.core.checks import check_floating, check_function
from jensen.core.contracts import Key
from jensen.core.models.transport import fields
from jensen.core.models.transport.traces import VectorField
from jensen.core.nn.initial import Activation
from jensen.core.trees import Params

Energy: TypeAlias = Callable[[Float[Tensor, "n d"]], Float[Tensor, " n"]]  # no row's energy sees another's x


def score(energy: Energy) -> VectorField:
    """-grad energy, row by row."""
    check_function("energy", energy, "lambda x: 0.5 * x.square().sum(-1), of N(0, I)")

    def of_rows(x: Float[Tensor, "n d"]) -> Float[Tensor, "n d"]:
        check_floating("x", x, "n d", "one row per datum")
        return -torch.func.grad(lambda x: energy(x).sum())(x)

    return of_rows


@dataclass(frozen=True)
class Gradient:
    """The gradient by x of a perceptron of one output."""

    network: fields.Mlp

    @property
    def data(self) -> int:
        """How many coordinates."""
        return self.network.data

    def init(self, key: Key, dtype: torch.dtype = torch.float32, /) -> Params:
        """The perceptron's parameters; its last layer starts at 0, and with it the gradient."""
        return self.network.init(key, dtype)

    def energy(self, params: Params, x: Float[Tensor, "... d"], t: Float[Tensor, "..."]) -> Float[Tensor, "..."]:
        """What the field is the gradient of."""
        return self.network(params, x, t)[..., 0]

    def __call__(self, params: Params, x: Float[Tensor, "... d"], t: Float[Tensor, "..."], /) -> Float[Tensor, "... d"]:
        """grad energy at x and times t in [0, 1], one for each point."""
        return torch.func.grad(lambda x: self.energy(params, x, t).sum())(x)


def mlp(data: int, hidden: Sequence[int] = (128, 128, 128), activation: Activation = F.silu) -> Gradient:
    """data + time -> *hidden -> 1, and its gradient. The activation must be smooth: what is learned is its slope."""
    return Gradient(fields.mlp(data, hidden, activation, outputs=1))

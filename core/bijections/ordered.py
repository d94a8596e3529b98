"""The bijection onto increasing vectors."""

from typing import NamedTuple

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from jensen.core.checks import check_floating


class Ordered(NamedTuple):
    """value_1 = z_1, value_i = value_{i-1} + e^{z_i}.

    Onto        value_1 < ... < value_d, as far as the type tells the differences from 0
    Log det     sum_{i > 1} z_i
    """

    def forward(
        self, z: Float[Tensor, "... d"], context: Tensor | None = None, /
    ) -> tuple[Float[Tensor, "... d"], Float[Tensor, "..."]]:
        check_floating("z", z)
        steps = torch.cat([z[..., :1], torch.exp(z[..., 1:])], -1)
        return steps.cumsum(-1), z[..., 1:].sum(-1)

    def inverse(
        self, value: Float[Tensor, "... d"], context: Tensor | None = None, /
    ) -> tuple[Float[Tensor, "... d"], Float[Tensor, "..."]]:
        check_floating("value", value)
        z = torch.cat([value[..., :1], torch.log(value.diff(dim=-1))], -1)
        return z, -z[..., 1:].sum(-1)

    def contains(self, value: Float[Tensor, "... d"], /) -> Bool[Tensor, "..."]:
        check_floating("value", value)
        return (value.diff(dim=-1) > 0).all(-1)

"""The bijection onto the simplex, by breaking a stick (Betancourt, 2012, and Stan's reference manual)."""

from typing import NamedTuple

import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torch.nn import functional as F

from jensen.core.checks import check_floating
from jensen.core.numerics import at_least_float32


def slack(dtype: torch.dtype) -> float:
    """How far from 1 a sum of shares may be: 1e-6, or ten times the type's epsilon."""
    return max(1e-6, 10 * torch.finfo(dtype).eps)


class Simplex(NamedTuple):
    """value_i = s_i prod_{j < i} (1 - s_j), s_i = sigmoid(z_i - log(k - i)) the share of what is left: k - 1 to k.

    z = 0 is the centre. All k shares are positive, and computed as logarithms.

    Onto        value_i > 0 with sum 1, see `contains`
    Log det     of the first k - 1 components: sum_i log value_i + log(1 - s_i)
    """

    def forward(
        self, z: Float[Tensor, "... m"], context: Tensor | None = None, /
    ) -> tuple[Float[Tensor, "... k"], Float[Tensor, "..."]]:
        check_floating("z", z)
        v = at_least_float32(z) - _offsets(z)
        take, keep = F.logsigmoid(v), F.logsigmoid(-v)
        rest = F.pad(keep.cumsum(-1), (1, 0))
        value = torch.exp(torch.cat([rest[..., :-1] + take, rest[..., -1:]], -1)).to(z.dtype)
        return value.clamp(torch.finfo(z.dtype).tiny, 1), (take + keep + rest[..., :-1]).sum(-1)

    def inverse(
        self, value: Float[Tensor, "... k"], context: Tensor | None = None, /
    ) -> tuple[Float[Tensor, "... m"], Float[Tensor, "..."]]:
        check_floating("value", value)
        left = value.flip(-1).cumsum(-1).flip(-1)[..., 1:]  # of positive numbers, without cancellation
        v = torch.log(value[..., :-1]) - torch.log(left)
        z = v + _offsets(v)
        return z, -self.forward(z)[1]

    def contains(self, value: Float[Tensor, "... k"], /) -> Bool[Tensor, "..."]:
        """Whether all are positive, and the sum is 1 to 1e-6 or ten times the type's epsilon."""
        check_floating("value", value)
        return (value > 0).all(-1) & ((value.double().sum(-1) - 1).abs() <= slack(value.dtype))


def _offsets(z: Tensor) -> Tensor:
    """log(k - i) for i = 1 ... k - 1: at z = 0 the shares are equal."""
    return torch.log(torch.arange(z.shape[-1], 0, -1, dtype=z.dtype, device=z.device))

"""Activation normalisation (Kingma and Dhariwal, 2018)."""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from jensen.core.checks import check_floating, described
from jensen.core.contracts import Flow, Normalising, can
from jensen.core.flows._zeros import zeros


class Actnorm(NamedTuple):
    """z' = exp(log_scale) (z + shift).

    Log det     sum_d log_scale
    Context     ignored; see `Hypernetwork`
    Per datum   with an axis n in its fields, one map for each datum; without, one for all
    Reference   Kingma and Dhariwal, 2018
    """

    shift: Float[Tensor, "*n d"]
    log_scale: Float[Tensor, "*n d"]

    @classmethod
    def identity(cls, d: int, dtype: torch.dtype = torch.float32) -> "Actnorm":
        return cls(zeros(d, dtype), zeros(d, dtype))

    @classmethod
    def normalising(cls, z: Float[Tensor, "*s d"]) -> "Actnorm":
        """The one after which every component of z has mean 0 and variance 1, over all samples and data.

        A component that is constant is shifted alone.
        """
        check_floating("z", z, "... d")
        rows = z.reshape(-1, z.shape[-1])
        scale = rows.std(0, correction=0)
        return cls(-rows.mean(0), -torch.log(torch.where(scale > 0, scale, 1.0)))

    def forward(
        self, z: Float[Tensor, "*s n d"], context: Tensor | None = None, /
    ) -> tuple[Float[Tensor, "*s n d"], Float[Tensor, "*s n"]]:
        self._check(z)
        return torch.exp(self.log_scale) * (z + self.shift), self.log_scale.sum(-1) + torch.zeros_like(z[..., 0])

    def inverse(
        self, z: Float[Tensor, "*s n d"], context: Tensor | None = None, /
    ) -> tuple[Float[Tensor, "*s n d"], Float[Tensor, "*s n"]]:
        self._check(z)
        return torch.exp(-self.log_scale) * z - self.shift, torch.zeros_like(z[..., 0]) - self.log_scale.sum(-1)

    def _check(self, z: Tensor) -> None:
        d = self.shift.shape[-1]
        check_floating("z", z, f"... {d}", f"the flow is of {d} components")


def normalised(flows: Sequence[Flow], z: Float[Tensor, "*s n d"], context: Tensor | None = None) -> tuple[Flow, ...]:
    """The same flows, each `Normalising` one at what reaches it from z: Glow's start, from one batch of data."""
    check_floating("z", z, "... d")
    if not isinstance(flows, tuple | list) or not all(can(flow, Flow) for flow in flows):
        raise TypeError(f"expected flows, a tuple of flows, got {described(flows)}: pass (flow, ...)")
    started: list[Flow] = []
    for flow in flows:
        started.append(flow.normalising(z) if can(flow, Normalising) else flow)
        z, _ = started[-1].forward(z, context)
    return tuple(started)

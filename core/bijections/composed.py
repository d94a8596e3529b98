"""Bijections one after another."""

from collections.abc import Callable
from typing import NamedTuple

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from jensen.core.checks import check_floating
from jensen.core.contracts import Bijection, Flow, can


class Composed(NamedTuple):
    """value = parts_k(... parts_1(z)): bijections of as many numbers, with flows of R^d between them.

    Onto        the image of the parts in turn
    Log det     the sum of the parts'
    """

    parts: tuple[Flow, ...]

    def forward(
        self, z: Float[Tensor, "... m"], context: Tensor | None = None, /
    ) -> tuple[Float[Tensor, "... d"], Float[Tensor, "..."]]:
        check_floating("z", z)
        return _through([part.forward for part in self.parts], z)

    def inverse(
        self, value: Float[Tensor, "... d"], context: Tensor | None = None, /
    ) -> tuple[Float[Tensor, "... m"], Float[Tensor, "..."]]:
        check_floating("value", value)
        return _through([part.inverse for part in reversed(self.parts)], value)

    def contains(self, value: Float[Tensor, "... d"], /) -> Bool[Tensor, "..."]:
        """Whether each bijection contains the value that the later parts come from."""
        check_floating("value", value)
        found = []
        for part in reversed(self.parts):
            if can(part, Bijection):
                found.append(part.contains(value))
            value, _ = part.inverse(value)
        return torch.stack(found).all(0)


def _through(maps: list[Callable[[Tensor], tuple[Tensor, Tensor]]], z: Tensor) -> tuple[Tensor, Tensor]:
    log_dets = []
    for each in maps:
        z, log_det = each(z)
        log_dets.append(log_det)
    return z, torch.stack(log_dets).sum(0)

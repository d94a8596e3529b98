"""Fixed permutations of the components, so that the next layer changes those that the last one left."""

from collections.abc import Iterable
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from jensen.core import keys
from jensen.core.checks import check_count, check_floating, check_key
from jensen.core.contracts import Flow, Key
from jensen.core.trees import Static


class Reverse(NamedTuple):
    """The components in reverse order.

    Log det     0
    Context     ignored
    Per datum   no parameters
    Reference   Dinh et al., 2017
    """

    def forward(
        self, z: Float[Tensor, "*s n d"], context: Tensor | None = None, /
    ) -> tuple[Float[Tensor, "*s n d"], Float[Tensor, "*s n"]]:
        check_floating("z", z, "... d")
        return z.flip(-1), torch.zeros_like(z[..., 0])

    def inverse(
        self, z: Float[Tensor, "*s n d"], context: Tensor | None = None, /
    ) -> tuple[Float[Tensor, "*s n d"], Float[Tensor, "*s n"]]:
        return self.forward(z)


class Permutation(NamedTuple):
    """z'_i = z_order(i): a fixed order, part of the tree's structure and not of its tensors.

    Log det     0
    Context     ignored
    Per datum   no parameters
    Reference   Kingma and Dhariwal, 2018
    """

    order: Static[tuple[int, ...]]

    @classmethod
    def random(cls, key: Key, d: int) -> "Permutation":
        """A uniformly random order of d components."""
        check_key(key)
        return cls(Static(tuple(keys.permutation(key, check_count("d", d)).tolist())))

    def forward(
        self, z: Float[Tensor, "*s n d"], context: Tensor | None = None, /
    ) -> tuple[Float[Tensor, "*s n d"], Float[Tensor, "*s n"]]:
        return permuted(z, self.order.value), torch.zeros_like(z[..., 0])

    def inverse(
        self, z: Float[Tensor, "*s n d"], context: Tensor | None = None, /
    ) -> tuple[Float[Tensor, "*s n d"], Float[Tensor, "*s n"]]:
        return permuted(z, inverted(self.order.value)), torch.zeros_like(z[..., 0])


def with_reversals(layers: Iterable[Flow]) -> tuple[Flow, ...]:
    """The layers, with a reversal after each."""
    return tuple(flow for layer in layers for flow in (layer, Reverse()))


def permuted(z: Tensor, order: tuple[int, ...]) -> Tensor:
    """z (..., d) with its components in this order."""
    check_floating("z", z, f"... {len(order)}", f"the flow is of {len(order)} components")
    return z[..., torch.tensor(order, device=z.device)]


def inverted(order: tuple[int, ...]) -> tuple[int, ...]:
    """The order that undoes this one."""
    return tuple(sorted(range(len(order)), key=order.__getitem__))

"""Bijections of consecutive parts of a vector."""

from typing import NamedTuple

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from jensen.core.checks import check_count, check_floating, described
from jensen.core.contracts import Bijection, can
from jensen.core.trees import Static


class Concatenated(NamedTuple):
    """Each part through its own bijection of vectors: `of((Positive(), 2), (Simplex(), 3))` takes 2 + 2 numbers to 5.

    Onto        the product of the parts' sets
    Log det     the sum of the parts'
    """

    parts: tuple[Bijection, ...]
    sizes: Static[tuple[int, ...]]  # of the values
    free: Static[tuple[int, ...]]  # of z

    @classmethod
    def of(cls, *parts: tuple[Bijection, int]) -> "Concatenated":
        """Pairs of a bijection and the number of its values."""
        for i, pair in enumerate(parts):
            if not isinstance(pair, tuple) or len(pair) != 2 or not can(pair[0], Bijection):
                raise TypeError(
                    f"expected parts of (bijection, size), got {described(pair)} at {i}: write (Positive(), 2)"
                )
            check_count(f"parts[{i}]'s size", pair[1])
        pairs = [(part, size, free_size(part, size)) for part, size in parts]
        bijections, sizes, free = zip(*pairs, strict=True)
        return cls(bijections, Static(sizes), Static(free))

    def forward(
        self, z: Float[Tensor, "... m"], context: Tensor | None = None, /
    ) -> tuple[Float[Tensor, "... d"], Float[Tensor, "..."]]:
        check_floating("z", z)
        return _joined([p.forward(t) for p, t in zip(self.parts, _split(z, self.free.value), strict=True)])

    def inverse(
        self, value: Float[Tensor, "... d"], context: Tensor | None = None, /
    ) -> tuple[Float[Tensor, "... m"], Float[Tensor, "..."]]:
        check_floating("value", value)
        return _joined([p.inverse(t) for p, t in zip(self.parts, _split(value, self.sizes.value), strict=True)])

    def contains(self, value: Float[Tensor, "... d"], /) -> Bool[Tensor, "..."]:
        check_floating("value", value)
        inside = [p.contains(t) for p, t in zip(self.parts, _split(value, self.sizes.value), strict=True)]
        return torch.stack(inside).all(0)


def free_size(part: Bijection, size: int) -> int:
    """How many numbers `size` values of a part are a function of."""
    with torch.no_grad():
        return part.inverse(torch.full((size,), 1 / size))[0].shape[-1]


def _joined(pairs: list[tuple[Tensor, Tensor]]) -> tuple[Tensor, Tensor]:
    values, log_dets = zip(*pairs, strict=True)
    return torch.cat(values, -1), torch.stack(log_dets).sum(0)


def _split(t: Tensor, sizes: tuple[int, ...]) -> list[Tensor]:
    if t.ndim == 0 or t.shape[-1] != sum(sizes):
        raise ValueError(f"expected (..., {' + '.join(map(str, sizes))}) numbers, got {tuple(t.shape)}")
    return list(t.split(sizes, -1))

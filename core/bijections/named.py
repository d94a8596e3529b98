"""Bijections of the parts of a vector onto values with names."""

from collections.abc import Mapping
from typing import NamedTuple

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from jensen.core.bijections.concatenated import free_size
from jensen.core.checks import check_count, check_floating, described
from jensen.core.contracts import Bijection, can
from jensen.core.trees import Static, Tree, check_keys


class Named(NamedTuple):
    """Consecutive parts of a vector, each by its own bijection: `of(rate=(Positive(), 2), share=(Simplex(), 3))`.

    That takes z (..., 2 + 2) to {"rate": (..., 2), "share": (..., 3)}.

    Onto        the product of the parts' sets, a dict of their values
    Log det     the sum of the parts'
    """

    parts: dict[str, Bijection]
    free: Static[tuple[int, ...]]  # of z

    @classmethod
    def of(cls, **parts: tuple[Bijection, int]) -> "Named":
        """A bijection and the number of its values for each name."""
        for name, pair in parts.items():
            if not isinstance(pair, tuple) or len(pair) != 2 or not can(pair[0], Bijection):
                raise TypeError(f"expected {name}, (bijection, size), got {described(pair)}: write (Positive(), 2)")
            check_count(f"{name}'s size", pair[1])
        free = tuple(free_size(part, size) for part, size in parts.values())
        return cls({name: part for name, (part, _) in parts.items()}, Static(free))

    def forward(
        self, z: Float[Tensor, "... m"], context: Tensor | None = None, /
    ) -> tuple[dict[str, Tree], Float[Tensor, "..."]]:
        check_floating("z", z, f"... {sum(self.free.value)}")
        split = zip(self.parts.items(), z.split(self.free.value, -1), strict=True)
        pairs = {name: part.forward(t) for (name, part), t in split}
        log_dets = [log_det for _, log_det in pairs.values()]
        return {name: value for name, (value, _) in pairs.items()}, torch.stack(log_dets).sum(0)

    def inverse(
        self, value: dict[str, Tree], context: Tensor | None = None, /
    ) -> tuple[Float[Tensor, "... m"], Float[Tensor, "..."]]:
        self._check(value)
        free, log_dets = zip(*[part.inverse(value[name]) for name, part in self.parts.items()], strict=True)
        return torch.cat(free, -1), torch.stack(log_dets).sum(0)

    def contains(self, value: dict[str, Tree], /) -> Bool[Tensor, "..."]:
        self._check(value)
        return torch.stack([part.contains(value[name]) for name, part in self.parts.items()]).all(0)

    def _check(self, value: object) -> None:
        if not isinstance(value, Mapping):
            names = ", ".join(self.parts)
            raise TypeError(f"expected value, a dict of {names}, got {described(value)}: see what forward gives")
        check_keys(value, self.parts, "the parts of value")

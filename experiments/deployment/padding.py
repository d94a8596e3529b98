"""Rows of several callers computed together at one width, so that the bits of each do not depend on its neighbours."""

from collections.abc import Iterable, Sequence

import torch
from torch import Tensor

LANES = 16  # numbers that a vector instruction takes at once, at most


def width_of(batch: int) -> int:
    """Rows that batches of at most so many are padded to, so that all are computed alike: no instruction has a rest."""
    return -(-batch // LANES) * LANES


def padded(parts: Iterable[Sequence[Tensor]], width: int) -> tuple[Tensor, ...]:
    """The rows of all parts, and the first again until there are `width`. Each part has its rows of every input."""
    inputs = list(zip(*parts, strict=True))
    spare = width - sum(map(len, inputs[0]))
    return tuple(torch.cat([*each, each[0][:1].expand(spare, *each[0].shape[1:])]) for each in inputs)


def split(outputs: Iterable[Tensor], sizes: Sequence[int]) -> list[tuple[Tensor, ...]]:
    """Each part's rows of every output; what was computed of the padding is left out."""
    return list(zip(*(each[: sum(sizes)].split(list(sizes)) for each in outputs), strict=True))

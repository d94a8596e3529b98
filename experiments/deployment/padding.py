"""Rows of several callers computed together at one width, so that the bits of each do not depend on its neighbours.

Callers have arrays of numpy: torch lets go of the interpreter's lock at each of its operations, and takes it again when
another thread lets go of it, so that small ones cost more beside a thread that computes than alone.
"""

from collections.abc import Iterable, Sequence
from itertools import accumulate
from typing import Any

import numpy as np
import torch
from torch import Tensor

Array = np.ndarray[Any, np.dtype[Any]]
Arrays = tuple[Array, ...]  # of as many rows each
LANES = 16  # numbers that a vector instruction takes at once, at most


def width_of(batch: int) -> int:
    """Rows that batches of at most so many are padded to, so that all are computed alike: no instruction has a rest."""
    return -(-batch // LANES) * LANES


def padded(parts: Iterable[Arrays], width: int) -> tuple[Tensor, ...]:
    """The rows of all parts, and the first again until there are `width`. Each part has its rows of every input."""
    return tuple(torch.from_numpy(_together(each, width)) for each in zip(*parts, strict=True))


def split(outputs: Iterable[Tensor], sizes: Sequence[int]) -> list[Arrays]:
    """Each part's rows of every output; what was computed of the padding is left out."""
    arrays, ends = [each.detach().numpy() for each in outputs], accumulate(sizes)
    return [tuple(each[end - size : end] for each in arrays) for end, size in zip(ends, sizes, strict=True)]


def _together(rows: Sequence[Array], width: int) -> Array:
    n = sum(map(len, rows))
    found = np.empty((width, *rows[0].shape[1:]), rows[0].dtype)
    np.concatenate(rows, out=found[:n])
    found[n:] = rows[0][:1]
    return found

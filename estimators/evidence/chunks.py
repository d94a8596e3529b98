"""The number of particles at a time: such that the largest tensor of an evaluation is within a budget of bytes.

Few particles at a time cost many small operations, and many cost memory. The largest tensor depends on the number of
data, on the event and, most, on the log density, such as a decoder's hidden layers: it is measured.
"""

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from jensen.core.contracts import Key

BUDGET = 2**22  # bytes of one tensor: within a core's cache
COMPILED = 64  # particles while compiling, where no tensor can be measured


def chunk_size(log_weights: Callable[[int, Key], Tensor], key: Key, k: int) -> int:
    """Particles per call of log_weights(s, key), from 1 to k, by the evaluation of one particle."""
    if torch.compiler.is_compiling():
        return min(k, COMPILED)
    with torch.no_grad(), _Largest() as seen:
        log_weights(1, key)
    most = max(1, BUDGET // max(1, seen.bytes))
    return math.ceil(k / math.ceil(k / most))  # equal calls, so that few particles are beyond k


class _Largest(TorchDispatchMode):
    """The bytes of the largest tensor that an operation made, 0 before the first. Views of parameters do not count."""

    bytes = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = func(*args, **(kwargs or {}))
        if not func.is_view:
            made = [t.nbytes for t in (out if isinstance(out, tuple | list) else (out,)) if isinstance(t, Tensor)]
            self.bytes = max([self.bytes, *made])
        return out

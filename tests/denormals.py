"""Denormal numbers among what a function computes: every operation's outputs are looked at, forward and backward."""

from collections import Counter
from collections.abc import Callable

import torch
from torch import Tensor
from torch.utils import _pytree as pytree
from torch.utils._python_dispatch import TorchDispatchMode


class Denormals(TorchDispatchMode):
    """Within it, how many each operation has put out, by the operation's name; views count again.

    counted = Denormals()
    with counted:
        grad(loss)(params)
    assert not counted.found
    """

    def __init__(self) -> None:
        super().__init__()
        self.found: Counter[str] = Counter()

    def __torch_dispatch__(self, operation, types, args=(), kwargs=None):
        out = operation(*args, **(kwargs or {}))
        if "empty" in str(operation):  # memory as it was found
            return out
        for t in pytree.tree_leaves(out):
            if isinstance(t, Tensor) and t.is_floating_point() and (many := denormals(t)):
                self.found[str(operation)] += many
        return out


def denormals(t: Tensor) -> int:
    """How many of t's numbers are too small for a normal one, and not 0."""
    return int(((t.abs() < torch.finfo(t.dtype).tiny) & (t != 0)).sum())


def counted(call: Callable[[], object]) -> Counter[str]:
    """Denormal numbers within a call, by operation."""
    mode = Denormals()
    with mode:
        call()
    return mode.found

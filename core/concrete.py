"""Whether a tensor's values can be looked at, so that bad ones can be refused."""

import torch
from torch import Tensor
from torch._C import _functorch  # pyright: ignore[reportAttributeAccessIssue]


def is_concrete(x: Tensor) -> bool:
    """False while compiling, and in a batch of vmap: there a check would fail itself, or be a break in the graph."""
    if torch.compiler.is_compiling():
        return False
    while _functorch.is_gradtrackingtensor(x):  # a batch may be inside
        x = _functorch.get_unwrapped(x)
    return not _functorch.is_batchedtensor(x)

"""Checks of data that the models share."""

import torch
from torch import Tensor
from torch._C import _functorch  # pyright: ignore[reportAttributeAccessIssue]

from jensen.core.distributions import check_binary


def check_data(x: Tensor, binary: bool = False) -> None:
    """ValueError for x other than (n, D), and for grey values where x must be binary and torch runs eagerly."""
    if x.ndim != 2:
        raise ValueError(f"expected x (n, D), got {tuple(x.shape)}: add a batch axis with x[None], flatten pixels")
    if binary and _concrete(x):
        check_binary(x)


def _concrete(x: Tensor) -> bool:
    """Whether values can be looked at: not while compiling, and not in a batch of vmap."""
    return not torch.compiler.is_compiling() and not _functorch.is_batchedtensor(x)

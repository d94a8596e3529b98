"""Checks of data that latent-variable models share."""

from torch import Tensor

from jensen.core.concrete import is_concrete
from jensen.core.distributions import check_binary


def check_data(x: Tensor, binary: bool = False) -> None:
    """ValueError for x other than (n, D), and in eager mode for grey values where x must be binary."""
    if x.ndim != 2:
        raise ValueError(f"expected x (n, D), got {tuple(x.shape)}: add a batch axis with x[None], flatten pixels")
    if binary and is_concrete(x):
        check_binary(x)

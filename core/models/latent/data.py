"""Checks of data that latent-variable models share."""

from torch import Tensor

from jensen.core.checks import check_floating
from jensen.core.concrete import is_concrete
from jensen.core.distributions import check_binary


def check_data(x: Tensor, size: int | str = "D", binary: bool = False) -> None:
    """Data x (n, D) in floating point, of D = size where it is a number, and in eager mode binary where it must be.

    TypeError for what is no such tensor, ValueError for another shape or grey values.
    """
    check_floating("x", x, f"n {size}", "flatten the pixels of each datum, and add a batch axis to one with x[None]")
    if binary and is_concrete(x):
        check_binary(x)


def check_rows(x: Tensor, z: Tensor) -> None:
    """ValueError unless x (n, D) and z (s, n, d) are of the same number of data."""
    if len(x) != z.shape[-2]:
        raise ValueError(
            f"expected x and z of as many data, got {len(x)} and {z.shape[-2]}: z is (s, n, d) for x (n, D)"
        )


def check_training_data(x: Tensor, size: int | str = "D") -> None:
    """Training data x (N, D), N >= 2: their mean or one of them would be taken for the whole set."""
    check_floating("x", x, f"N {size}", "pass the training data, and not their mean")
    if len(x) < 2:
        raise ValueError(
            f"expected x (N, {size}) of two data or more, got {tuple(x.shape)}: pass the training data, not their mean"
        )

"""Checks that diagnostics share, beside those of `core.checks`: of several keys, and of values that are finite."""

import torch
from torch import Tensor

from jensen.core.checks import check_floating, check_tensor
from jensen.estimators.wording import listed


def check_keys(keys: object) -> None:
    """Two keys or more, as `keys.split` makes them."""
    fix = "make them with keys.split(key, n)"
    check_tensor("keys", keys, "n 3", fix)
    if isinstance(keys, Tensor) and keys.dtype != torch.int64:
        raise TypeError(f"expected keys (n, 3) of int64, got {keys.dtype}: {fix}")
    if isinstance(keys, Tensor) and len(keys) < 2:
        raise ValueError(f"expected keys (n, 3) with n >= 2, got {tuple(keys.shape)}: {fix}")


def check_finite(name: str, value: object, axes: str, fix: str = "") -> None:
    """A tensor in floating point with these axes, none of them empty, without NaN or infinite values."""
    check_floating(name, value, axes, fix)
    assert isinstance(value, Tensor)
    if value.numel() == 0:
        raise ValueError(f"expected {name} with one value or more, got {tuple(value.shape)}: no axis may be empty")
    bad = ~torch.isfinite(value).reshape(len(value), -1).all(1)
    if bad.any():
        raise ValueError(
            f"expected finite {name}, got NaN or infinite values in rows {listed(bad)}: leave those rows out, or look "
            "where they come from"
        )

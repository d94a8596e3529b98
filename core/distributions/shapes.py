"""Checks that the distributions share: nothing is broadcast by accident, and other kinds of values are refused."""

from typing import Any

from torch import Tensor

from jensen.core.checks import check_count, check_floating, described
from jensen.core.concrete import is_concrete

MOST = 2**20  # values of a support that may be enumerated


def check_value(z: Tensor, parameter: Tensor, name: str = "z") -> None:
    """ValueError unless the trailing axes that a value and a parameter share are equal: (n,) does not fit (n, 1)."""
    check_floating(name, z)
    check_floating("the parameters", parameter)
    shared = min(z.ndim, parameter.ndim)
    if shared == 0 or z.shape[-shared:] != parameter.shape[-shared:]:
        raise ValueError(
            f"expected a value {name} (..., {', '.join(map(str, parameter.shape))}) for parameters "
            f"{tuple(parameter.shape)}, got {tuple(z.shape)}: samples lead, then data, then event axes"
        )


def check_fields(**fields: Tensor) -> None:
    """ValueError unless the fields of a distribution have one shape."""
    for name, field in fields.items():
        check_floating(name, field)
    first, second = fields.values()
    if first.shape != second.shape:
        raise ValueError(
            f"expected fields of one shape, got {tuple(first.shape)} and {tuple(second.shape)}: expand the smaller"
        )


def check_pair(q: Any, p: Any) -> None:
    """TypeError unless p is of q's family, ValueError unless their rows fit."""
    if not isinstance(p, type(q)) and not isinstance(q, type(p)):
        name = type(q).__name__
        raise TypeError(f"expected p, a {name} as q is, got {described(p)}: pass {name}(...), or average log(q / p)")
    check_value(q[0], p[0], "q")


def noise_shape(parameter: Tensor, s: int, rank: int) -> tuple[int, ...]:
    """(s, *parameter.shape), for parameters with one data axis before their event axes: ValueError for others."""
    s = check_count("s", s)
    check_floating("the parameters", parameter)
    if parameter.ndim != rank:
        axes = ", ".join(("n", "d", "k")[:rank])
        raise ValueError(f"expected parameters ({axes}) to draw for, got {tuple(parameter.shape)}: one row per datum")
    return (s, *parameter.shape)


def check_enumerable(values: int, components: int) -> None:
    """ValueError for a support of more than 2^20 values."""
    if values**components > MOST:
        raise ValueError(f"expected at most {MOST} values to list, got {values}^{components}: average over samples")


def check_share(name: str, share: Tensor) -> None:
    """ValueError for values outside [0, 1], where values can be read; NaN passes through."""
    check_floating(name, share)
    if is_concrete(share) and (wrong := share[(share < 0) | (share > 1)]).numel():
        raise ValueError(f"expected {name} in [0, 1], got {wrong[0].item():.4g}: pass one in this interval")

"""Shape checks that the distributions share: nothing is broadcast by accident."""

from torch import Tensor

MOST = 2**20  # values of a support that may be enumerated


def check_value(z: Tensor, parameter: Tensor) -> None:
    """ValueError unless the trailing axes that a value and a parameter share are equal: (n,) does not fit (n, 1)."""
    shared = min(z.ndim, parameter.ndim)
    if shared == 0 or z.shape[-shared:] != parameter.shape[-shared:]:
        raise ValueError(
            f"expected a value (..., {', '.join(map(str, parameter.shape))}) for parameters "
            f"{tuple(parameter.shape)}, got {tuple(z.shape)}: samples lead, then data, then event axes"
        )


def check_fields(first: Tensor, second: Tensor) -> None:
    """ValueError unless the fields of a distribution have one shape."""
    if first.shape != second.shape:
        raise ValueError(
            f"expected fields of one shape, got {tuple(first.shape)} and {tuple(second.shape)}: expand the smaller"
        )


def noise_shape(parameter: Tensor, s: int, rank: int) -> tuple[int, ...]:
    """(s, *parameter.shape), for parameters with one data axis before their event axes: ValueError for others."""
    if parameter.ndim != rank:
        axes = ", ".join(("n", "d", "k")[:rank])
        raise ValueError(f"expected parameters ({axes}) to draw for, got {tuple(parameter.shape)}: one row per datum")
    if s < 1:
        raise ValueError(f"expected at least one sample, got s = {s}")
    return (s, *parameter.shape)


def check_enumerable(values: int, components: int) -> None:
    """ValueError for a support of more than 2^20 values."""
    if values**components > MOST:
        raise ValueError(f"expected at most {MOST} values to list, got {values}^{components}: average over samples")

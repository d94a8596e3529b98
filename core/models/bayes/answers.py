"""What the functions of a model give: asked for by name, and checked for its shape."""

from collections.abc import Callable, Mapping

import torch
from torch import Tensor

from jensen.core.checks import check_floating


def asked(name: str, log_density: Callable[..., Tensor], *given: Mapping[str, Tensor]) -> Tensor:
    """What a model's function gives. KeyError that lists the names where it asks for one that there is not."""
    try:
        return log_density(*given)
    except KeyError as error:
        wanted, known = error.args[0] if error.args else None, [each for names in given for each in names]
        if not isinstance(wanted, str) or wanted in known:
            raise
        raise KeyError(
            f"expected {name} to ask for {', '.join(known)}, got {wanted!r}: see the support and data"
        ) from error


def checked(name: str, value: object, shape: torch.Size, fix: str) -> Tensor:
    """A tensor of this shape, or the error that names the function that gave another value."""
    check_floating(name, value)
    assert isinstance(value, Tensor)
    if value.shape != shape:
        raise ValueError(f"expected {name} {tuple(shape)}, got {tuple(value.shape)}: {fix}")
    return value

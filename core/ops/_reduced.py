"""What operations that reduce the last axis share: the check of their arguments, their shapes, types and gradients."""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from jensen.core.checks import check_floating


def check_last(**tensors: Tensor) -> None:
    """Raises unless all last axes agree: a last axis of 1 would broadcast, and count its one element d times."""
    for name, t in tensors.items():
        check_floating(name, t)
    if any(t.ndim == 0 for t in tensors.values()) or len({t.shape[-1] for t in tensors.values()}) > 1:
        shapes = ", ".join(f"{name} {tuple(t.shape)}" for name, t in tensors.items())
        raise ValueError(f"expected last axes that agree, got {shapes}: expand the shorter")


def accumulated(*tensors: Tensor) -> torch.dtype:
    """What operations compute and return: float64 where an argument is, else float32."""
    return torch.float64 if any(t.dtype == torch.float64 for t in tensors) else torch.float32


def pullback(reference: Callable[..., Tensor], keep: Sequence[int]) -> Callable[..., Any]:
    """(g, *args, *needs) -> the gradients of `reference` for the arguments in `keep`, not summed over broadcast axes.

    For references that reduce one event axis. What a backward kernel computes, in plain torch. needs: which of several
    gradients are computed; the others have no columns.
    """

    def slopes(g: Tensor, *given: Any) -> Any:
        args, needs = _split(given, len(keep))
        batch = torch.broadcast_shapes(g.shape, *(t.shape[:-1] for t in args))
        full = [t.expand(*batch, t.shape[-1]) for t in args]
        pull = torch.func.vjp(reference, *full)[1]
        every = pull(g.expand(batch).to(accumulated(*args)))
        some = (every[i] if need else every[i][..., :0] for i, need in zip(keep, needs, strict=True))
        kept = tuple(slope.to(accumulated(g, *args)) for slope in some)
        return kept[0] if len(kept) == 1 else kept

    return slopes


def fake_reduced(*args: Tensor) -> Tensor:
    """The shape of an operation that reduces the last axis."""
    batch = torch.broadcast_shapes(*(t.shape[:-1] for t in args))
    return args[0].new_empty(batch, dtype=accumulated(*args))


def fake_slopes(count: int) -> Callable[..., Any]:
    """The shapes of what `pullback` gives for `count` arguments."""

    def fake(g: Tensor, *given: Any) -> Any:
        args, needs = _split(given, count)
        batch, dtype = torch.broadcast_shapes(g.shape, *(t.shape[:-1] for t in args)), accumulated(g, *args)
        shapes = [args[0].new_empty(*batch, args[0].shape[-1] if need else 0, dtype=dtype) for need in needs]
        return shapes[0] if count == 1 else tuple(shapes)

    return fake


def _split(given: Sequence[Any], count: int) -> tuple[Sequence[Tensor], Sequence[bool]]:
    """The tensors, and which of `count` gradients are needed: that of a single one."""
    return (given, (True,)) if count == 1 else (given[:-count], given[-count:])

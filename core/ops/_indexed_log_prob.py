"""log Categorical(index; softmax(logits)) over the last axis. Fused: an index is never expanded to one-hot."""

from typing import TypeGuard

import torch
from torch import Tensor

from jensen.core.checks import check_floating
from jensen.core.concrete import is_concrete
from jensen.core.numerics import at_least_float32
from jensen.core.operation import differentiable, fitted
from jensen.core.ops.dispatch import deserves_kernel, launch


def are_indices(x: object) -> TypeGuard[Tensor]:
    """Whether x is a tensor of whole numbers; bool is none."""
    return isinstance(x, Tensor) and x.dtype in (torch.int64, torch.int32, torch.int16, torch.int8, torch.uint8)


def check_indices(name: str, x: Tensor, logits: Tensor) -> None:
    """ValueError unless the axes that end x and the rows of logits agree, and x is in [0, d) where it can be read."""
    check_floating("logits", logits, "... d")
    *batch, d = logits.shape
    shared = min(x.ndim, len(batch))
    if list(x.shape[x.ndim - shared :]) != batch[len(batch) - shared :]:
        raise ValueError(
            f"expected {name}, class indices (..., {', '.join(map(str, batch))}) for logits {tuple(logits.shape)}, got "
            f"{tuple(x.shape)}: give one index for each row of logits, or one-hot {name} in floating point"
        )
    check_range(name, x, d)


def check_range(name: str, x: Tensor, d: int) -> None:
    """ValueError for indices outside [0, d), where values can be read."""
    if is_concrete(x) and (wrong := x[~within(x, d)[1]]).numel():
        raise ValueError(f"expected {name}, class indices in [0, {d}), got {wrong[0].item()}: leave such data out")


def indexed_log_prob(x: Tensor, logits: Tensor) -> Tensor:
    """log softmax(logits) at x, whose batch axes broadcast against the rows of logits; -inf for x outside [0, d).

    Where x has more axes than there are rows, plain torch normalises each row once, and a kernel would once for each x.
    """
    return _op(x, logits) if deserves_kernel(logits, logits.numel()) and x.ndim < logits.ndim else reference(x, logits)


def reference(x: Tensor, logits: Tensor) -> Tensor:
    value = torch.log_softmax(at_least_float32(logits), -1)
    index, inside = within(x, value.shape[-1])
    rows = value.shape[:-1]
    places = [
        torch.arange(size, device=x.device).reshape(-1, *[1] * (len(rows) - 1 - axis)) for axis, size in enumerate(rows)
    ]
    return torch.where(inside, value[(*places, index)], -torch.inf)


def within(x: Tensor, d: int) -> tuple[Tensor, Tensor]:
    """x as indices that can be read at, and which of them are x itself."""
    index = x.long().clamp(0, d - 1)
    return index, index == x


def residual(g: Tensor, x: Tensor, logits: Tensor) -> Tensor:
    """g d log softmax(logits)_x / d logits = g (one-hot(x) - softmax(logits)); 0 for x outside [0, d)."""
    index, inside = within(x, logits.shape[-1])
    g = torch.where(inside, g, 0.0).to(at_least_float32(logits).dtype)[..., None]
    slope = -g * torch.softmax(at_least_float32(logits), -1)
    return slope.scatter_add(-1, index.expand(slope.shape[:-1])[..., None], g.expand(*slope.shape[:-1], 1))


def _fake(x: Tensor, logits: Tensor) -> Tensor:
    return at_least_float32(logits).new_empty(torch.broadcast_shapes(x.shape, logits.shape[:-1]))


def _fake_slopes(g: Tensor, x: Tensor, logits: Tensor) -> Tensor:
    batch = torch.broadcast_shapes(g.shape, x.shape, logits.shape[:-1])
    return at_least_float32(logits).new_empty(*batch, logits.shape[-1])


def _vjp(needs: tuple[bool, ...], gradients: tuple[Tensor], x: Tensor, logits: Tensor) -> tuple[None, Tensor]:
    return None, fitted(_slopes(gradients[0], x, logits), logits)


_slopes = differentiable(
    "indexed_log_prob_slopes", launch("indexed_log_prob", "backward"), residual, _fake_slopes, events=(0, 0, 1)
)
_op = differentiable("indexed_log_prob", launch("indexed_log_prob"), reference, _fake, events=(0, 1), vjp=_vjp)

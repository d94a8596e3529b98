"""What every launch shares: rows without copies where broadcasting allows, block sizes, the device, the accumulator."""

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
import triton
import triton.language as tl
from torch import Tensor

TILE = 2048  # elements of one program's tile


def rows(t: Tensor, batch: Sequence[int], event: int) -> tuple[Tensor, int]:
    """t (*b, *event axes) as contiguous rows (r, ...), and r: row i of the full batch is row i % r of t.

    Axes that lead and are absent or 1 in b need no copy, as for x (n, D) against logits (s, n, D).
    """
    own = list(t.shape[: t.ndim - event])
    while own and own[0] == 1:
        own.pop(0)
    if own != list(batch[len(batch) - len(own) :]):
        t = t.expand(*batch, *t.shape[t.ndim - event :])
        own = list(batch)
    size = 1
    for length in own:
        size *= length
    return t.contiguous(), size


def tile(count: int, d: int, acc: tl.dtype) -> dict[str, Any]:
    """BLOCK_D columns of `count` rows, all of them up to 1,024, as many rows as fill the tile, and the rows' type."""
    columns = min(triton.next_power_of_2(max(d, 1)), 1024)
    room = TILE // 2 if acc == tl.float64 else TILE  # the same registers
    return {"BLOCK_R": max(1, min(room // columns, 256)), "BLOCK_D": columns, "ROW": row_type(count)}


def row_type(count: int) -> tl.dtype:
    """Of row numbers up to `count` and a tile more: a 64-bit remainder is a call of a function, a 32-bit one none."""
    return tl.int32 if count < 2**31 - TILE else tl.int64


def grid(count: int, block: int) -> tuple[int]:
    return (triton.cdiv(count, block),)


def on(t: Tensor) -> AbstractContextManager:
    """Makes the tensor's device the current one, as a launch needs."""
    return torch.cuda.device(t.device) if t.is_cuda else nullcontext()


def accumulator(*tensors: Tensor) -> tuple[torch.dtype, tl.dtype]:
    """float64 where an input is float64, else float32: for outputs and inside the kernel."""
    if any(t.dtype == torch.float64 for t in tensors):
        return torch.float64, tl.float64
    return torch.float32, tl.float32


def slopes_like(like: Tensor, shape: Sequence[int], dtype: torch.dtype, *needs: bool) -> tuple[Tensor, ...]:
    """Room for the gradients that are needed, of this shape; the others have no columns."""
    *batch, d = shape
    return tuple(torch.empty(*batch, d if need else 0, dtype=dtype, device=like.device) for need in needs)


def density(kernel: Any, x: Tensor, logits: Tensor, event: int = 1) -> Tensor:
    """Launches a kernel that gives each row of x, or each x of no event axes, against its row of logits one value."""
    batch, d = torch.broadcast_shapes(x.shape[: x.ndim - event], logits.shape[:-1]), logits.shape[-1]
    dtype, acc = accumulator(x, logits)
    out = torch.empty(batch, dtype=dtype, device=logits.device)
    (x, x_rows), (logits, logits_rows) = rows(x, batch, event), rows(logits, batch, 1)
    if out.numel():
        blocks = tile(out.numel(), d, acc)
        with on(logits):
            kernel[grid(out.numel(), blocks["BLOCK_R"])](
                x, logits, out, out.numel(), x_rows, logits_rows, d, ACC=acc, **blocks
            )
    return out


def density_slopes(kernel: Any, g: Tensor, x: Tensor, logits: Tensor, event: int = 1) -> Tensor:
    """Launches the kernel of such a density's gradient for the logits under an upstream g: (*batch, d)."""
    batch, d = torch.broadcast_shapes(g.shape, x.shape[: x.ndim - event], logits.shape[:-1]), logits.shape[-1]
    dtype, acc = accumulator(g, x, logits)
    out = torch.empty(*batch, d, dtype=dtype, device=logits.device)
    (g, g_rows), (x, x_rows), (logits, logits_rows) = rows(g, batch, 0), rows(x, batch, event), rows(logits, batch, 1)
    if out.numel():
        blocks = tile(batch.numel(), d, acc)
        with on(logits):
            kernel[grid(batch.numel(), blocks["BLOCK_R"])](
                g, x, logits, out, batch.numel(), g_rows, x_rows, logits_rows, d, ACC=acc, **blocks
            )
    return out


@triton.jit
def rows_of_tile(ROW: tl.constexpr, BLOCK_R: tl.constexpr):
    """The row numbers of this program's tile."""
    return tl.program_id(0).to(ROW) * BLOCK_R + tl.arange(0, BLOCK_R)


@triton.jit
def places(row, column, d):
    """Offsets of a (rows, columns) tile of a row-major array, in 64 bits."""
    return row.to(tl.int64)[:, None] * d + column[None, :]


@triton.jit
def load_rows(ptr, row, size, column, d, mask, ACC: tl.constexpr):
    """A (rows, columns) tile of a row-major array whose row i is i % size, in the accumulator's type at once."""
    return tl.load(ptr + places(row % size, column, d), mask=mask, other=0.0).to(ACC)


@triton.jit
def load_each(ptr, row, size, live):
    """An entry for each row, of an array whose entry i is i % size."""
    return tl.load(ptr + (row % size).to(tl.int64), mask=live, other=0)


@triton.jit
def store_each(ptr, row, value, live):
    tl.store(ptr + row.to(tl.int64), value, mask=live)


@triton.jit
def bounded(a, limit, WIDTH: tl.constexpr):
    """The bounded-scale map and its slope; NaN stays NaN."""
    inside = tl.where(a > limit, limit, tl.where(a < -limit, -limit, a))
    outside = a - inside
    shrink = WIDTH / (WIDTH + tl.abs(outside))
    return inside + outside * shrink, shrink * shrink

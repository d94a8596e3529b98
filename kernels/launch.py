"""What every launch shares: rows without copies where broadcasting allows, block sizes, the device, the accumulator."""

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
import triton
import triton.language as tl
from torch import Tensor

TILE = 1024  # elements of one program's tile
PROGRAMS = 1024  # of a grid, several for each processor


def rows(t: Tensor, batch: Sequence[int], event: int) -> tuple[Tensor, int]:
    """t (*b, *event axes) as contiguous rows (r, ...), and r: row i of the full batch is row i % r of t.

    Axes that lead and are absent or 1 in b need no copy, as for x (n, D) against logits (s, n, D).
    """
    t, size = own_batch(t, batch, event)
    return t.contiguous(), size


def lines(t: Tensor, batch: Sequence[int]) -> tuple[Tensor, int, int]:
    """Likewise rows that may lie apart, as halves of an encoder's output do, without a copy, and the step between."""
    t, size = own_batch(t, batch, 1)
    t = t.reshape(size, t.shape[-1])
    t = t if t.stride(-1) == 1 else t.contiguous()
    return t, size, t.stride(0)


def own_batch(t: Tensor, batch: Sequence[int], event: int) -> tuple[Tensor, int]:
    """t without the leading axes that its rows repeat over, else expanded, and its number of rows."""
    own = list(t.shape[: t.ndim - event])
    while own and own[0] == 1:
        own.pop(0)
    if own != list(batch[len(batch) - len(own) :]):
        t = t.expand(*batch, *t.shape[t.ndim - event :])
        own = list(batch)
    size = 1
    for length in own:
        size *= length
    return t, size


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


def split(count: int, block: int, tiles: int, most: int = 2**30) -> tuple[int, int]:
    """How many of `count`, whole blocks, each part has, and the number of parts that `tiles` need to fill a GPU."""
    parts = min(most, triton.cdiv(PROGRAMS, tiles), triton.cdiv(count, block))
    span = triton.cdiv(triton.cdiv(count, parts), block) * block
    return span, triton.cdiv(count, span)


def shared(
    s: int, n: int, d: int, acc: tl.dtype, room: int, least: int = 1, lanes: int = 1
) -> tuple[tuple[int, int, int], int, dict[str, int]]:
    """For s particles of each of n data with columns d, whose parameters stay in registers over particles.

    The grid (tiles of data, parts of the particles, tiles of columns), how many particles a part has, and the tile of
    `room` elements: `least` columns at least, and `lanes` particles at once, or more where the data are few.
    """
    columns = min(max(least, triton.next_power_of_2(max(d, 1))), 1024)
    room = max(1, (room // 2 if acc == tl.float64 else room) // columns)
    data = min(triton.next_power_of_2(n), max(1, room // min(lanes, triton.next_power_of_2(s))))
    particles = min(triton.next_power_of_2(s), room // data)
    tiles, wide = triton.cdiv(n, data), triton.cdiv(max(d, 1), columns)
    span, parts = split(s, particles, tiles * wide)
    return (tiles, parts, wide), span, {"BLOCK_P": particles, "BLOCK_R": data, "BLOCK_D": columns}


def on(t: Tensor) -> AbstractContextManager:
    """Makes the tensor's device the current one, as a launch needs."""
    return torch.cuda.device(t.device) if t.is_cuda else nullcontext()


def is_hopper(t: Tensor) -> bool:
    """Whether the tensor's device multiplies tiles that it reads from shared memory, and has 227 KiB of that."""
    return t.is_cuda and torch.cuda.get_device_capability(t.device)[0] == 9


def accumulator(*tensors: Tensor) -> tuple[torch.dtype, tl.dtype]:
    """float64 where an input is float64, else float32: for outputs and inside the kernel."""
    if any(t.dtype == torch.float64 for t in tensors):
        return torch.float64, tl.float64
    return torch.float32, tl.float32


def slopes_like(like: Tensor, shape: Sequence[int], dtype: torch.dtype, *needs: bool) -> tuple[Tensor, ...]:
    """Room for the gradients that are needed, of this shape; the others have no columns."""
    *batch, d = shape
    return tuple(torch.empty(*batch, d if need else 0, dtype=dtype, device=like.device) for need in needs)


def density(kernel: Any, x: Tensor, logits: Tensor, event: int = 1, warps: int = 4) -> Tensor:
    """Launches a kernel that gives each row of x, or each x of no event axes, against its row of logits one value."""
    batch, d = torch.broadcast_shapes(x.shape[: x.ndim - event], logits.shape[:-1]), logits.shape[-1]
    dtype, acc = accumulator(x, logits)
    out = torch.empty(batch, dtype=dtype, device=logits.device)
    (x, x_rows), (logits, logits_rows) = rows(x, batch, event), rows(logits, batch, 1)
    if out.numel():
        grid, sizes, blocks = repeated(out.numel(), x_rows, logits_rows, d, acc)
        with on(logits):
            kernel[grid](x, logits, out, *sizes, x_rows, logits_rows, d, ACC=acc, num_warps=warps, **blocks)
    return out


def density_slopes(kernel: Any, g: Tensor, x: Tensor, logits: Tensor, event: int = 1) -> Tensor:
    """Launches the kernel of such a density's gradient for the logits under an upstream g: (*batch, d)."""
    batch, d = torch.broadcast_shapes(g.shape, x.shape[: x.ndim - event], logits.shape[:-1]), logits.shape[-1]
    dtype, acc = accumulator(g, x, logits)
    out = torch.empty(*batch, d, dtype=dtype, device=logits.device)
    g, (x, x_rows), (logits, logits_rows) = g.expand(batch).contiguous(), rows(x, batch, event), rows(logits, batch, 1)
    if out.numel():
        grid, sizes, blocks = repeated(batch.numel(), x_rows, logits_rows, d, acc)
        with on(logits):
            kernel[grid](g, x, logits, out, *sizes, x_rows, logits_rows, d, ACC=acc, **blocks)
    return out


def repeated(
    r: int, x_rows: int, logits_rows: int, d: int, acc: tl.dtype
) -> tuple[tuple[int, int], tuple[int, int, int], dict[str, Any]]:
    """For r rows of logits whose data x repeat after x_rows, and stay in registers over the repeats.

    The grid (tiles of data, parts of the repeats), the number of data, of repeats and of those in a part, and the tile.
    WHOLE: it holds whole rows. OWN: each row has logits of its own; else nothing is said to repeat.
    """
    blocks = tile(r, d, acc)
    own = logits_rows == r
    n = x_rows if own and x_rows >= blocks["BLOCK_R"] else r
    tiles, repeats = triton.cdiv(n, blocks["BLOCK_R"]), r // n
    span, parts = split(repeats, 1, tiles)
    return (tiles, parts), (n, repeats, span), {**blocks, "OWN": own, "WHOLE": d <= blocks["BLOCK_D"]}


@triton.jit
def rows_of_tile(r, ROW: tl.constexpr, BLOCK_R: tl.constexpr):
    """The row numbers of this program's tile, and which of them are among the r rows."""
    row = tl.program_id(0).to(ROW) * BLOCK_R + tl.arange(0, BLOCK_R)
    return row, row < r


@triton.jit
def own_rows(size, ROW: tl.constexpr, BLOCK_R: tl.constexpr):
    """The tile's rows % size, for an array of `size` rows: one remainder for all, unless the tile reaches its end."""
    first = tl.program_id(0).to(ROW) * BLOCK_R
    if first >= size:
        first = first % size
    row = first + tl.arange(0, BLOCK_R)
    if first + BLOCK_R > size:
        row = row % size
    return row


@triton.jit
def places(row, column, d):
    """Offsets of a (rows, columns) tile of a row-major array, in 64 bits."""
    return row.to(tl.int64)[:, None] * d + column[None, :]


@triton.jit
def load_rows(ptr, row, column, d, mask, ACC: tl.constexpr, other: tl.constexpr = 0.0):
    """A (rows, columns) tile of a row-major array in the accumulator's type at once; `other` where it ends."""
    return tl.load(ptr + places(row, column, d), mask=mask, other=other).to(ACC)


@triton.jit
def load_each(ptr, row, live):
    """An entry for each row."""
    return tl.load(ptr + row.to(tl.int64), mask=live, other=0)


@triton.jit
def store_each(ptr, row, value, live):
    tl.store(ptr + row.to(tl.int64), value, mask=live)


@triton.jit
def exp(x, ACC: tl.constexpr):
    """e^x; in float32 one product and one instruction, for results whose part below 1e-38 may be 0."""
    if ACC == tl.float64:
        return tl.exp(x)
    return tl.exp2(1.4426950408889634 * x)


@triton.jit
def bounded(a, limit, WIDTH: tl.constexpr):
    """The bounded-scale map and its slope; NaN stays NaN."""
    inside = tl.where(a > limit, limit, tl.where(a < -limit, -limit, a))
    outside = a - inside
    shrink = WIDTH / (WIDTH + tl.abs(outside))
    return inside + outside * shrink, shrink * shrink

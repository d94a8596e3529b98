"""log Categorical(x; softmax(logits)) per row, and its gradient for the logits. A row that fits a tile is read once."""

import triton
import triton.language as tl
from torch import Tensor

from jensen.kernels.launch import (
    density,
    density_slopes,
    exp,
    load_each,
    load_rows,
    own_rows,
    places,
    rows_of_tile,
    store_each,
)

WARPS = 2  # the fewer, the less a row's sums wait for each other


@triton.jit
def normaliser(
    logits_ptr, row, live, d, ACC: tl.constexpr, WHOLE: tl.constexpr, BLOCK_R: tl.constexpr, BLOCK_D: tl.constexpr
):
    """Each row's maximum and log sum exp above it: apart, since their sum would round away a large maximum's digits.

    Also the last tile, -inf where it has no columns: all of a row that fits.
    """
    peak = tl.full([BLOCK_R], float("-inf"), ACC)
    total = tl.zeros([BLOCK_R], ACC)
    logits = tl.full([BLOCK_R, BLOCK_D], float("-inf"), ACC)
    for start in range(0, BLOCK_D if WHOLE else d, BLOCK_D):
        column = start + tl.arange(0, BLOCK_D)
        logits = load_rows(logits_ptr, row, column, d, live[:, None] & (column < d)[None, :], ACC, float("-inf"))
        higher = tl.maximum(peak, tl.max(logits, 1))
        shift = tl.where(higher == float("-inf"), 0.0, higher)
        total = total * exp(peak - shift, ACC) + tl.sum(exp(logits - shift[:, None], ACC), 1)
        peak = higher
    return tl.where(peak == float("-inf"), 0.0, peak), tl.log(tl.where(live, total, 1.0)), logits


@triton.jit
def again(logits_ptr, row, logits, column, d, mask, ACC: tl.constexpr, WHOLE: tl.constexpr):
    """The logits of a tile: those at hand where a row fits."""
    if WHOLE:
        return logits
    return load_rows(logits_ptr, row, column, d, mask, ACC)


@triton.jit
def _forward(
    x_ptr, logits_ptr, out_ptr, n, repeats, span, x_rows, logits_rows, d,
    WHOLE: tl.constexpr, OWN: tl.constexpr,
    ACC: tl.constexpr, ROW: tl.constexpr, BLOCK_R: tl.constexpr, BLOCK_D: tl.constexpr,
):  # fmt: skip
    datum, live = rows_of_tile(n, ROW, BLOCK_R)
    x_row, shared_row = own_rows(x_rows, ROW, BLOCK_R), own_rows(logits_rows, ROW, BLOCK_R)
    column = tl.arange(0, BLOCK_D)
    if WHOLE:
        x = load_rows(x_ptr, x_row, column, d, live[:, None] & (column < d)[None, :], ACC)
    first = tl.program_id(1).to(tl.int64) * span
    for repeat in range(first, tl.minimum(first + span, repeats)):
        row = repeat * n + datum
        logits_row = row if OWN else shared_row
        peak, total, last = normaliser(logits_ptr, logits_row, live, d, ACC, WHOLE, BLOCK_R, BLOCK_D)
        out = tl.zeros([BLOCK_R], ACC)
        for start in range(0, BLOCK_D if WHOLE else d, BLOCK_D):
            mask = live[:, None] & (start + column < d)[None, :]
            if not WHOLE:
                x = load_rows(x_ptr, x_row, start + column, d, mask, ACC)
            logits = again(logits_ptr, logits_row, last, start + column, d, mask, ACC, WHOLE)
            out += tl.sum(x * tl.where(x == 0.0, 0.0, logits - peak[:, None] - total[:, None]), 1)
        store_each(out_ptr, row, out, live)


@triton.jit
def _backward(
    g_ptr, x_ptr, logits_ptr, out_ptr, n, repeats, span, x_rows, logits_rows, d,
    WHOLE: tl.constexpr, OWN: tl.constexpr,
    ACC: tl.constexpr, ROW: tl.constexpr, BLOCK_R: tl.constexpr, BLOCK_D: tl.constexpr,
):  # fmt: skip
    datum, live = rows_of_tile(n, ROW, BLOCK_R)
    x_row, shared_row = own_rows(x_rows, ROW, BLOCK_R), own_rows(logits_rows, ROW, BLOCK_R)
    column = tl.arange(0, BLOCK_D)
    if WHOLE:
        x = load_rows(x_ptr, x_row, column, d, live[:, None] & (column < d)[None, :], ACC)
        count = tl.sum(x, 1)
    else:
        count = tl.zeros([BLOCK_R], ACC)
        for start in range(0, d, BLOCK_D):
            mask = live[:, None] & (start + column < d)[None, :]
            count += tl.sum(load_rows(x_ptr, x_row, start + column, d, mask, ACC), 1)
    first = tl.program_id(1).to(tl.int64) * span
    for repeat in range(first, tl.minimum(first + span, repeats)):
        row = repeat * n + datum
        logits_row = row if OWN else shared_row
        g = load_each(g_ptr, row, live).to(ACC)[:, None]
        peak, total, last = normaliser(logits_ptr, logits_row, live, d, ACC, WHOLE, BLOCK_R, BLOCK_D)
        for start in range(0, BLOCK_D if WHOLE else d, BLOCK_D):
            mask = live[:, None] & (start + column < d)[None, :]
            if not WHOLE:
                x = load_rows(x_ptr, x_row, start + column, d, mask, ACC)
            logits = again(logits_ptr, logits_row, last, start + column, d, mask, ACC, WHOLE)
            slope = x - count[:, None] * exp(logits - peak[:, None] - total[:, None], ACC)
            tl.store(out_ptr + places(row, start + column, d), g * slope, mask=mask)


def forward(x: Tensor, logits: Tensor) -> Tensor:
    return density(_forward, x, logits, warps=WARPS)


def backward(g: Tensor, x: Tensor, logits: Tensor) -> Tensor:
    """g (x - sum(x) softmax(logits)), (*batch, d)."""
    return density_slopes(_backward, g, x, logits)

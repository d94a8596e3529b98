"""log Categorical(x; softmax(logits)) per row, and its gradient for the logits: one pass by a running maximum."""

import triton
import triton.language as tl
from torch import Tensor

from jensen.kernels.launch import density, density_slopes, load_each, load_rows, places, rows_of_tile, store_each


@triton.jit
def normaliser(logits_ptr, row, live, logits_rows, d, ACC: tl.constexpr, BLOCK_R: tl.constexpr, BLOCK_D: tl.constexpr):
    """Each row's maximum and log sum exp above it: apart, since their sum would round away a large maximum's digits."""
    peak = tl.full([BLOCK_R], float("-inf"), ACC)
    total = tl.zeros([BLOCK_R], ACC)
    for start in range(0, d, BLOCK_D):
        column = start + tl.arange(0, BLOCK_D)
        mask = live[:, None] & (column < d)[None, :]
        logits = tl.where(mask, load_rows(logits_ptr, row, logits_rows, column, d, mask, ACC), float("-inf"))
        higher = tl.maximum(peak, tl.max(logits, 1))
        shift = tl.where(higher == float("-inf"), 0.0, higher)
        total = total * tl.exp(peak - shift) + tl.sum(tl.exp(logits - shift[:, None]), 1)
        peak = higher
    return tl.where(peak == float("-inf"), 0.0, peak), tl.log(tl.where(live, total, 1.0))


@triton.jit
def _forward(
    x_ptr, logits_ptr, out_ptr, r, x_rows, logits_rows, d,
    ACC: tl.constexpr, ROW: tl.constexpr, BLOCK_R: tl.constexpr, BLOCK_D: tl.constexpr,
):  # fmt: skip
    row = rows_of_tile(ROW, BLOCK_R)
    live = row < r
    peak, total = normaliser(logits_ptr, row, live, logits_rows, d, ACC, BLOCK_R, BLOCK_D)
    out = tl.zeros([BLOCK_R], ACC)
    for start in range(0, d, BLOCK_D):
        column = start + tl.arange(0, BLOCK_D)
        mask = live[:, None] & (column < d)[None, :]
        x = load_rows(x_ptr, row, x_rows, column, d, mask, ACC)
        logits = load_rows(logits_ptr, row, logits_rows, column, d, mask, ACC)
        out += tl.sum(tl.where(x == 0.0, 0.0, x * (logits - peak[:, None] - total[:, None])), 1)
    store_each(out_ptr, row, out, live)


@triton.jit
def _backward(
    g_ptr, x_ptr, logits_ptr, out_ptr, r, g_rows, x_rows, logits_rows, d,
    ACC: tl.constexpr, ROW: tl.constexpr, BLOCK_R: tl.constexpr, BLOCK_D: tl.constexpr,
):  # fmt: skip
    row = rows_of_tile(ROW, BLOCK_R)
    live = row < r
    g = load_each(g_ptr, row, g_rows, live).to(ACC)[:, None]
    peak, total = normaliser(logits_ptr, row, live, logits_rows, d, ACC, BLOCK_R, BLOCK_D)
    count = tl.zeros([BLOCK_R], ACC)
    for start in range(0, d, BLOCK_D):
        column = start + tl.arange(0, BLOCK_D)
        mask = live[:, None] & (column < d)[None, :]
        count += tl.sum(load_rows(x_ptr, row, x_rows, column, d, mask, ACC), 1)
    for start in range(0, d, BLOCK_D):
        column = start + tl.arange(0, BLOCK_D)
        mask = live[:, None] & (column < d)[None, :]
        x = load_rows(x_ptr, row, x_rows, column, d, mask, ACC)
        logits = load_rows(logits_ptr, row, logits_rows, column, d, mask, ACC)
        slope = x - count[:, None] * tl.exp(logits - peak[:, None] - total[:, None])
        tl.store(out_ptr + places(row, column, d), g * slope, mask=mask)


def forward(x: Tensor, logits: Tensor) -> Tensor:
    return density(_forward, x, logits)


def backward(g: Tensor, x: Tensor, logits: Tensor) -> Tensor:
    """g (x - sum(x) softmax(logits)), (*batch, d)."""
    return density_slopes(_backward, g, x, logits)

"""log Bernoulli(x; sigmoid(logits)) per row, and its gradient for the logits."""

import triton
import triton.language as tl
from torch import Tensor

from jensen.kernels.launch import density, density_slopes, load_each, load_rows, places, rows_of_tile, store_each


@triton.jit
def _forward(
    x_ptr, logits_ptr, out_ptr, r, x_rows, logits_rows, d,
    ACC: tl.constexpr, ROW: tl.constexpr, BLOCK_R: tl.constexpr, BLOCK_D: tl.constexpr,
):  # fmt: skip
    row = rows_of_tile(ROW, BLOCK_R)
    live = row < r
    total = tl.zeros([BLOCK_R], ACC)
    for start in range(0, d, BLOCK_D):
        column = start + tl.arange(0, BLOCK_D)
        mask = live[:, None] & (column < d)[None, :]
        x = load_rows(x_ptr, row, x_rows, column, d, mask, ACC)
        logits = load_rows(logits_ptr, row, logits_rows, column, d, mask, ACC)
        infinite = tl.abs(logits) == float("inf")
        certain = tl.where(tl.where(logits > 0, x == 1.0, x == 0.0), 0.0, float("-inf"))
        logits = tl.where(infinite, 0.0, logits)
        softplus = tl.where(logits > 0, logits, 0.0) + tl.log(1.0 + tl.exp(-tl.abs(logits)))
        total += tl.sum(tl.where(mask, tl.where(infinite, certain, x * logits - softplus), 0.0), 1)
    store_each(out_ptr, row, total, live)


@triton.jit
def _backward(
    g_ptr, x_ptr, logits_ptr, out_ptr, r, g_rows, x_rows, logits_rows, d,
    ACC: tl.constexpr, ROW: tl.constexpr, BLOCK_R: tl.constexpr, BLOCK_D: tl.constexpr,
):  # fmt: skip
    row = rows_of_tile(ROW, BLOCK_R)
    live = row < r
    g = load_each(g_ptr, row, g_rows, live).to(ACC)[:, None]
    for start in range(0, d, BLOCK_D):
        column = start + tl.arange(0, BLOCK_D)
        mask = live[:, None] & (column < d)[None, :]
        x = load_rows(x_ptr, row, x_rows, column, d, mask, ACC)
        logits = load_rows(logits_ptr, row, logits_rows, column, d, mask, ACC)
        small = tl.exp(-tl.abs(logits))
        sigmoid = tl.where(logits > 0, 1.0, small) / (1.0 + small)
        tl.store(out_ptr + places(row, column, d), g * (x - sigmoid), mask=mask)


def forward(x: Tensor, logits: Tensor) -> Tensor:
    return density(_forward, x, logits)


def backward(g: Tensor, x: Tensor, logits: Tensor) -> Tensor:
    """g (x - sigmoid(logits)), (*batch, d)."""
    return density_slopes(_backward, g, x, logits)

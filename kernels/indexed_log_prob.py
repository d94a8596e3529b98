"""log Categorical(index; softmax(logits)) per row, and its gradient for the logits: one pass and one entry read."""

import triton
import triton.language as tl
from torch import Tensor

from jensen.kernels.categorical_log_prob import normaliser
from jensen.kernels.launch import density, density_slopes, load_each, load_rows, places, rows_of_tile, store_each


@triton.jit
def _forward(
    x_ptr, logits_ptr, out_ptr, r, x_rows, logits_rows, d,
    ACC: tl.constexpr, ROW: tl.constexpr, BLOCK_R: tl.constexpr, BLOCK_D: tl.constexpr,
):  # fmt: skip
    row = rows_of_tile(ROW, BLOCK_R)
    live = row < r
    peak, total = normaliser(logits_ptr, row, live, logits_rows, d, ACC, BLOCK_R, BLOCK_D)
    index = load_each(x_ptr, row, x_rows, live).to(tl.int64)
    inside = live & (index >= 0) & (index < d)
    place = (row % logits_rows).to(tl.int64) * d + index
    chosen = tl.load(logits_ptr + place, mask=inside, other=float("-inf")).to(ACC)
    store_each(out_ptr, row, chosen - peak - total, live)


@triton.jit
def _backward(
    g_ptr, x_ptr, logits_ptr, out_ptr, r, g_rows, x_rows, logits_rows, d,
    ACC: tl.constexpr, ROW: tl.constexpr, BLOCK_R: tl.constexpr, BLOCK_D: tl.constexpr,
):  # fmt: skip
    row = rows_of_tile(ROW, BLOCK_R)
    live = row < r
    index = load_each(x_ptr, row, x_rows, live).to(tl.int64)
    inside = live & (index >= 0) & (index < d)
    g = load_each(g_ptr, row, g_rows, inside).to(ACC)[:, None]
    peak, total = normaliser(logits_ptr, row, live, logits_rows, d, ACC, BLOCK_R, BLOCK_D)
    for start in range(0, d, BLOCK_D):
        column = start + tl.arange(0, BLOCK_D)
        mask = live[:, None] & (column < d)[None, :]
        logits = load_rows(logits_ptr, row, logits_rows, column, d, mask, ACC)
        slope = tl.where(column[None, :] == index[:, None], 1.0, 0.0) - tl.exp(logits - peak[:, None] - total[:, None])
        tl.store(out_ptr + places(row, column, d), g * slope, mask=mask)


def forward(x: Tensor, logits: Tensor) -> Tensor:
    return density(_forward, x, logits, event=0)


def backward(g: Tensor, x: Tensor, logits: Tensor) -> Tensor:
    """g (one-hot(x) - softmax(logits)), (*batch, d); 0 for x outside [0, d)."""
    return density_slopes(_backward, g, x, logits, event=0)

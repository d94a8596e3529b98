"""log Categorical(index; softmax(logits)) per row, and its gradient for the logits: one pass and one entry read."""

import triton
import triton.language as tl
from torch import Tensor

from jensen.kernels.categorical_log_prob import normaliser
from jensen.kernels.launch import density, density_slopes, load_rows


@triton.jit
def _forward(
    x_ptr, logits_ptr, out_ptr, r, x_rows, logits_rows, d,
    ACC: tl.constexpr, BLOCK_R: tl.constexpr, BLOCK_D: tl.constexpr,
):  # fmt: skip
    row = tl.program_id(0).to(tl.int64) * BLOCK_R + tl.arange(0, BLOCK_R)
    live = row < r
    peak, total = normaliser(logits_ptr, row, live, logits_rows, d, ACC, BLOCK_R, BLOCK_D)
    index = tl.load(x_ptr + row % x_rows, mask=live, other=0).to(tl.int64)
    inside = live & (index >= 0) & (index < d)
    chosen = tl.load(logits_ptr + (row % logits_rows) * d + index, mask=inside, other=float("-inf")).to(ACC)
    tl.store(out_ptr + row, chosen - peak - total, mask=live)


@triton.jit
def _backward(
    g_ptr, x_ptr, logits_ptr, out_ptr, r, g_rows, x_rows, logits_rows, d,
    ACC: tl.constexpr, BLOCK_R: tl.constexpr, BLOCK_D: tl.constexpr,
):  # fmt: skip
    row = tl.program_id(0).to(tl.int64) * BLOCK_R + tl.arange(0, BLOCK_R)
    live = row < r
    index = tl.load(x_ptr + row % x_rows, mask=live, other=0).to(tl.int64)
    inside = live & (index >= 0) & (index < d)
    g = tl.load(g_ptr + row % g_rows, mask=inside, other=0.0).to(ACC)[:, None]
    peak, total = normaliser(logits_ptr, row, live, logits_rows, d, ACC, BLOCK_R, BLOCK_D)
    for start in range(0, d, BLOCK_D):
        column = start + tl.arange(0, BLOCK_D)
        mask = live[:, None] & (column < d)[None, :]
        logits = load_rows(logits_ptr, row, logits_rows, column, d, mask, ACC)
        slope = tl.where(column[None, :] == index[:, None], 1.0, 0.0) - tl.exp(logits - peak[:, None] - total[:, None])
        tl.store(out_ptr + (row[:, None] * d + column[None, :]), g * slope, mask=mask)


def forward(x: Tensor, logits: Tensor) -> Tensor:
    return density(_forward, x, logits, event=0)


def backward(g: Tensor, x: Tensor, logits: Tensor) -> Tensor:
    """g (one-hot(x) - softmax(logits)), (*batch, d); 0 for x outside [0, d)."""
    return density_slopes(_backward, g, x, logits, event=0)

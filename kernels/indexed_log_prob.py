"""log Categorical(index; softmax(logits)) per row, and its gradient for the logits: one pass and one entry read."""

import triton
import triton.language as tl
from torch import Tensor

from jensen.kernels.categorical_log_prob import WARPS, again, normaliser
from jensen.kernels.launch import density, density_slopes, exp, load_each, own_rows, places, rows_of_tile, store_each


@triton.jit
def _forward(
    x_ptr, logits_ptr, out_ptr, n, repeats, span, x_rows, logits_rows, d,
    WHOLE: tl.constexpr, OWN: tl.constexpr,
    ACC: tl.constexpr, ROW: tl.constexpr, BLOCK_R: tl.constexpr, BLOCK_D: tl.constexpr,
):  # fmt: skip
    datum, live = rows_of_tile(n, ROW, BLOCK_R)
    shared_row = own_rows(logits_rows, ROW, BLOCK_R)
    index = load_each(x_ptr, own_rows(x_rows, ROW, BLOCK_R), live).to(tl.int64)
    inside = live & (index >= 0) & (index < d)
    first = tl.program_id(1).to(tl.int64) * span
    for repeat in range(first, tl.minimum(first + span, repeats)):
        row = repeat * n + datum
        logits_row = row if OWN else shared_row
        peak, total, _ = normaliser(logits_ptr, logits_row, live, d, ACC, WHOLE, BLOCK_R, BLOCK_D)
        place = logits_row.to(tl.int64) * d + index
        chosen = tl.load(logits_ptr + place, mask=inside, other=float("-inf")).to(ACC)
        store_each(out_ptr, row, chosen - peak - total, live)


@triton.jit
def _backward(
    g_ptr, x_ptr, logits_ptr, out_ptr, n, repeats, span, x_rows, logits_rows, d,
    WHOLE: tl.constexpr, OWN: tl.constexpr,
    ACC: tl.constexpr, ROW: tl.constexpr, BLOCK_R: tl.constexpr, BLOCK_D: tl.constexpr,
):  # fmt: skip
    datum, live = rows_of_tile(n, ROW, BLOCK_R)
    shared_row = own_rows(logits_rows, ROW, BLOCK_R)
    index = load_each(x_ptr, own_rows(x_rows, ROW, BLOCK_R), live).to(tl.int64)
    inside = live & (index >= 0) & (index < d)
    first = tl.program_id(1).to(tl.int64) * span
    for repeat in range(first, tl.minimum(first + span, repeats)):
        row = repeat * n + datum
        logits_row = row if OWN else shared_row
        g = load_each(g_ptr, row, inside).to(ACC)[:, None]
        peak, total, last = normaliser(logits_ptr, logits_row, live, d, ACC, WHOLE, BLOCK_R, BLOCK_D)
        for start in range(0, BLOCK_D if WHOLE else d, BLOCK_D):
            column = start + tl.arange(0, BLOCK_D)
            mask = live[:, None] & (column < d)[None, :]
            logits = again(logits_ptr, logits_row, last, column, d, mask, ACC, WHOLE)
            chosen = tl.where(column[None, :] == index[:, None], 1.0, 0.0)
            slope = chosen - exp(logits - peak[:, None] - total[:, None], ACC)
            tl.store(out_ptr + places(row, column, d), g * slope, mask=mask)


def forward(x: Tensor, logits: Tensor) -> Tensor:
    return density(_forward, x, logits, event=0, warps=WARPS)


def backward(g: Tensor, x: Tensor, logits: Tensor) -> Tensor:
    """g (one-hot(x) - softmax(logits)), (*batch, d); 0 for x outside [0, d)."""
    return density_slopes(_backward, g, x, logits, event=0)

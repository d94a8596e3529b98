"""log Bernoulli(x; sigmoid(logits)) per row, and its gradient for the logits."""

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
_STRIP = tl.constexpr(256)  # columns apart that a thread of two warps reads


@triton.jit
def _times(a, b):
    return a * b


@triton.jit
def _forward(
    x_ptr, logits_ptr, out_ptr, n, repeats, span, x_rows, logits_rows, d,
    WHOLE: tl.constexpr, OWN: tl.constexpr,
    ACC: tl.constexpr, ROW: tl.constexpr, BLOCK_R: tl.constexpr, BLOCK_D: tl.constexpr,
):  # fmt: skip
    """One logarithm for the product of up to 16 factors: log(1 + e^l) = max(l, 0) + log(1 + e^-|l|)."""
    datum, live = rows_of_tile(n, ROW, BLOCK_R)
    x_row, shared_row = own_rows(x_rows, ROW, BLOCK_R), own_rows(logits_rows, ROW, BLOCK_R)
    column = tl.arange(0, BLOCK_D)
    if WHOLE:
        x = load_rows(x_ptr, x_row, column, d, live[:, None] & (column < d)[None, :], ACC)
    certain: tl.constexpr = 4.4e307 if ACC == tl.float64 else 8.5e37  # a quarter of the largest number: infinite
    epsilon: tl.constexpr = 2.3e-16 if ACC == tl.float64 else 1.2e-7
    strip: tl.constexpr = _STRIP if BLOCK_D > _STRIP else BLOCK_D
    group: tl.constexpr = 4 if strip >= 4 else strip
    first = tl.program_id(1).to(tl.int64) * span
    for repeat in range(first, tl.minimum(first + span, repeats)):
        row = repeat * n + datum
        logits_row = row if OWN else shared_row
        total = tl.zeros([BLOCK_R], ACC)
        for start in range(0, BLOCK_D if WHOLE else d, BLOCK_D):
            mask = live[:, None] & (start + column < d)[None, :]
            if not WHOLE:
                x = load_rows(x_ptr, x_row, start + column, d, mask, ACC)
            logits = load_rows(logits_ptr, logits_row, start + column, d, mask, ACC, float("-inf"))  # x = 0: nothing
            logits = tl.clamp(logits, -certain, certain, propagate_nan=tl.PropagateNan.ALL)
            terms = tl.reshape(x * logits - tl.maximum(logits, 0.0), [BLOCK_R, BLOCK_D // strip, strip])
            factors = tl.reshape(1.0 + exp(-tl.abs(logits), ACC), [BLOCK_R, BLOCK_D // strip, strip])
            terms = tl.reshape(tl.sum(terms, 1), [BLOCK_R, strip // group, group])
            factors = tl.reshape(tl.reduce(factors, 1, _times), [BLOCK_R, strip // group, group])
            total += tl.sum(tl.sum(terms, 2) - tl.log(tl.reduce(factors, 2, _times)), 1)
        store_each(out_ptr, row, tl.where(tl.abs(total) > certain * epsilon / 2, float("-inf"), total), live)


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
    first = tl.program_id(1).to(tl.int64) * span
    for repeat in range(first, tl.minimum(first + span, repeats)):
        row = repeat * n + datum
        logits_row = row if OWN else shared_row
        g = load_each(g_ptr, row, live).to(ACC)[:, None]
        for start in range(0, BLOCK_D if WHOLE else d, BLOCK_D):
            mask = live[:, None] & (start + column < d)[None, :]
            if not WHOLE:
                x = load_rows(x_ptr, x_row, start + column, d, mask, ACC)
            logits = load_rows(logits_ptr, logits_row, start + column, d, mask, ACC)
            small = exp(-tl.abs(logits), ACC)
            sigmoid = tl.where(logits > 0, 1.0, small) / (1.0 + small)
            tl.store(out_ptr + places(row, start + column, d), g * (x - sigmoid), mask=mask)


def forward(x: Tensor, logits: Tensor) -> Tensor:
    return density(_forward, x, logits, warps=WARPS)


def backward(g: Tensor, x: Tensor, logits: Tensor) -> Tensor:
    """g (x - sigmoid(logits)), (*batch, d)."""
    return density_slopes(_backward, g, x, logits)

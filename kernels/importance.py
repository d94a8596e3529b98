"""Bound, normalised weights and effective sample size of log_p - log_q, per column.

The samples are split among programs: sums of each part above its own largest weight, then weights, each program
combining the parts of its columns. Weights that `core.numerics.negligible` names are 0.
"""

import torch
import triton
import triton.language as tl
from torch import Tensor

from jensen.kernels.launch import accumulator, exp, on, places, split

ROOM, WARPS = 4096, 8  # elements of a tile: so many that of few samples all are under way at once
PARTS = 64  # at most: every program reads the sums of all


@triton.jit
def _log_weights(p_ptr, q_ptr, row, column, s, n, ACC: tl.constexpr):
    """A tile of log_p - log_q, -inf beyond its ends, with its mask and offsets."""
    mask = (row < s)[:, None] & (column < n)[None, :]
    offsets = row.to(tl.int64)[:, None] * n + column[None, :]
    log_p = tl.load(p_ptr + offsets, mask=mask, other=float("-inf")).to(ACC)
    return log_p - tl.load(q_ptr + offsets, mask=mask, other=0.0).to(ACC), mask, offsets


@triton.jit
def _forward_sums(
    p_ptr, q_ptr, sums_ptr, s, n, span,
    ACC: tl.constexpr, BLOCK_S: tl.constexpr, BLOCK_N: tl.constexpr,
):  # fmt: skip
    """(3, parts, n): of a part's weights the largest log, and above it their sum and that of their squares."""
    column = tl.program_id(0).to(tl.int64) * BLOCK_N + tl.arange(0, BLOCK_N)
    peak = tl.full([BLOCK_N], float("-inf"), ACC)
    total, squares = tl.zeros([BLOCK_N], ACC), tl.zeros([BLOCK_N], ACC)
    first = tl.program_id(1).to(tl.int64) * span
    for start in range(first, tl.minimum(first + span, s), BLOCK_S):
        log_w, _, _ = _log_weights(p_ptr, q_ptr, start + tl.arange(0, BLOCK_S), column, s, n, ACC)
        higher = tl.maximum(peak, tl.max(log_w, 0))
        shift = tl.where(tl.abs(higher) == float("inf"), 0.0, higher)
        decay, w = exp(peak - shift, ACC), exp(log_w - shift[None, :], ACC)
        total = total * decay + tl.sum(w, 0)  # NaN where a weight is, which comparisons would hide
        squares = squares * decay * decay + tl.sum(w * w, 0)
        peak = higher
    part, parts = tl.program_id(1), tl.num_programs(1)
    tl.store(sums_ptr + (part.to(tl.int64) * n + column), peak, mask=column < n)
    tl.store(sums_ptr + ((part + parts).to(tl.int64) * n + column), total, mask=column < n)
    tl.store(sums_ptr + ((part + 2 * parts).to(tl.int64) * n + column), squares, mask=column < n)


@triton.jit
def _forward(
    p_ptr, q_ptr, sums_ptr, bound_ptr, weight_ptr, ess_ptr, s, n, span,
    ACC: tl.constexpr, BLOCK_S: tl.constexpr, BLOCK_N: tl.constexpr, BLOCK_P: tl.constexpr, LEAST: tl.constexpr,
):  # fmt: skip
    column = tl.program_id(0).to(tl.int64) * BLOCK_N + tl.arange(0, BLOCK_N)
    part, parts = tl.arange(0, BLOCK_P), tl.num_programs(1)
    mask = (part < parts)[:, None] & (column < n)[None, :]
    peaks = tl.load(sums_ptr + places(part, column, n), mask=mask, other=float("-inf"))
    totals = tl.load(sums_ptr + places(part + parts, column, n), mask=mask, other=0.0)
    squares = tl.load(sums_ptr + places(part + 2 * parts, column, n), mask=mask, other=0.0)
    peak = tl.max(peaks, 0)
    shift = tl.where(peak == float("-inf"), 0.0, peak)
    decay = tl.where(tl.abs(peaks) == float("inf"), 1.0, exp(peaks - shift[None, :], ACC))  # infinite: sums above 0
    total, square = tl.sum(totals * decay, 0), tl.sum(squares * decay * decay, 0)
    empty = total == 0.0
    safe = tl.where(empty, 1.0, total)
    inverse = 1.0 / safe
    if tl.program_id(1) == 0:
        bound = tl.where(empty, float("-inf"), tl.log(safe) + shift - tl.log(tl.cast(s, ACC)))
        tl.store(bound_ptr + column, bound, mask=column < n)
        ess = tl.where(empty, 0.0, safe * safe / tl.where(empty, 1.0, square))
        tl.store(ess_ptr + column, ess, mask=column < n)
    first = tl.program_id(1).to(tl.int64) * span
    for start in range(first, tl.minimum(first + span, s), BLOCK_S):
        log_w, inside, offsets = _log_weights(p_ptr, q_ptr, start + tl.arange(0, BLOCK_S), column, s, n, ACC)
        share = exp(log_w - shift[None, :], ACC) * inverse[None, :]
        tl.store(weight_ptr + offsets, tl.where(share <= LEAST, 0.0, share), mask=inside)


def tile(s: int, n: int) -> tuple[tuple[int, int], int, dict[str, int]]:
    """The grid (tiles of columns, parts of the samples), the samples of a part, and the tile: up to 128 samples."""
    samples = min(128, triton.next_power_of_2(s))
    columns = min(ROOM // samples, triton.next_power_of_2(n))
    tiles = triton.cdiv(n, columns)
    span, parts = split(s, samples, tiles, PARTS)
    return (tiles, parts), span, {"BLOCK_S": samples, "BLOCK_N": columns}


def forward(log_p: Tensor, log_q: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """bound (*batch, n), weights (*batch, s, n), ess (*batch, n)."""
    log_p, log_q = (t.contiguous() for t in torch.broadcast_tensors(log_p, log_q))
    *batch, s, n = log_p.shape
    dtype, acc = accumulator(log_p, log_q)
    bound, ess = (torch.empty(*batch, n, dtype=dtype, device=log_p.device) for _ in range(2))
    weight = torch.empty(*batch, s, n, dtype=dtype, device=log_p.device)
    if bound.numel():
        flat = [t.reshape(-1, *t.shape[len(batch) :]) for t in (log_p, log_q, bound, weight, ess)]
        grid, span, blocks = tile(s, n)
        sums = torch.empty(3, grid[1], n, dtype=dtype, device=log_p.device)
        weighed = {"BLOCK_P": triton.next_power_of_2(grid[1]), "LEAST": torch.finfo(dtype).tiny ** 0.5}
        with on(log_p):
            for p, q, b, w, e in zip(*flat, strict=True):
                _forward_sums[grid](p, q, sums, s, n, span, ACC=acc, **blocks, num_warps=WARPS)
                _forward[grid](p, q, sums, b, w, e, s, n, span, ACC=acc, **blocks, **weighed, num_warps=WARPS)
    return bound, weight, ess

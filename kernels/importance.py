"""Bound, normalised weights and effective sample size of log_p - log_q, per column."""

import torch
import triton
import triton.language as tl
from torch import Tensor

from jensen.kernels.launch import accumulator, grid, on

BLOCKS = {"BLOCK_S": 16, "BLOCK_N": 64}


@triton.jit
def _forward(
    p_ptr, q_ptr, bound_ptr, weight_ptr, ess_ptr, s, n,
    ACC: tl.constexpr, BLOCK_S: tl.constexpr, BLOCK_N: tl.constexpr,
):  # fmt: skip
    column = tl.program_id(0).to(tl.int64) * BLOCK_N + tl.arange(0, BLOCK_N)
    live = column < n
    peak = tl.full([BLOCK_N], float("-inf"), ACC)
    total = tl.zeros([BLOCK_N], ACC)
    squares = tl.zeros([BLOCK_N], ACC)
    bad = tl.zeros([BLOCK_N], ACC)  # NaN for a column that holds one: comparisons would hide it
    for start in range(0, s, BLOCK_S):
        row = (start + tl.arange(0, BLOCK_S)).to(tl.int64)
        mask = (row < s)[:, None] & live[None, :]
        offsets = row[:, None] * n + column[None, :]
        log_w = tl.load(p_ptr + offsets, mask=mask, other=0.0).to(ACC) - tl.load(
            q_ptr + offsets, mask=mask, other=0.0
        ).to(ACC)
        bad += tl.sum(tl.where(mask & (log_w != log_w), log_w, 0.0), 0)
        log_w = tl.where(mask, log_w, float("-inf"))
        higher = tl.maximum(peak, tl.max(log_w, 0))
        shift = tl.where(tl.abs(higher) == float("inf"), 0.0, higher)
        decay, w = tl.exp(peak - shift), tl.exp(log_w - shift[None, :])
        total = total * decay + tl.sum(w, 0)
        squares = squares * decay * decay + tl.sum(w * w, 0)
        peak = higher
    shift = tl.where(peak == float("-inf"), 0.0, peak)
    empty = total == 0.0
    safe = tl.where(empty, 1.0, total)
    bound = tl.where(empty, float("-inf"), tl.log(safe) + shift - tl.log(tl.cast(s, ACC)))
    tl.store(bound_ptr + column, bound + bad, mask=live)
    tl.store(ess_ptr + column, tl.where(empty, 0.0, safe * safe / tl.where(empty, 1.0, squares)) + bad, mask=live)
    for start in range(0, s, BLOCK_S):
        row = (start + tl.arange(0, BLOCK_S)).to(tl.int64)
        mask = (row < s)[:, None] & live[None, :]
        offsets = row[:, None] * n + column[None, :]
        log_w = tl.load(p_ptr + offsets, mask=mask, other=0.0).to(ACC) - tl.load(
            q_ptr + offsets, mask=mask, other=0.0
        ).to(ACC)
        weight = tl.exp(tl.where(mask, log_w, float("-inf")) - shift[None, :]) / safe[None, :]
        tl.store(weight_ptr + offsets, weight + bad[None, :], mask=mask)


def forward(log_p: Tensor, log_q: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """bound (*batch, n), weights (*batch, s, n), ess (*batch, n)."""
    log_p, log_q = (t.contiguous() for t in torch.broadcast_tensors(log_p, log_q))
    *batch, s, n = log_p.shape
    dtype, acc = accumulator(log_p, log_q)
    bound, ess = (torch.empty(*batch, n, dtype=dtype, device=log_p.device) for _ in range(2))
    weight = torch.empty(*batch, s, n, dtype=dtype, device=log_p.device)
    if bound.numel():
        flat = [t.reshape(-1, *t.shape[len(batch) :]) for t in (log_p, log_q, bound, weight, ess)]
        with on(log_p):
            for p, q, b, w, e in zip(*flat, strict=True):
                _forward[grid(n, BLOCKS["BLOCK_N"])](p, q, b, w, e, s, n, ACC=acc, **BLOCKS)
    return bound, weight, ess

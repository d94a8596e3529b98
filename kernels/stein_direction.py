"""Stein's variational direction: kernel matrix and its products, tile by tile.

For k = exp(-r / h) both products are one: sum_j k_ij (s_j - 2 x_j / h) + (2 / h) x_i sum_j k_ij.
"""

from typing import Any

import torch
import triton
import triton.language as tl
from torch import Tensor

from jensen.kernels.launch import accumulator, is_hopper, on, split


@triton.jit
def _forward(
    x_ptr, squares_ptr, moved_ptr, spread_ptr, h_ptr, out_ptr, m, d, span,
    IMQ: tl.constexpr, PRECISION: tl.constexpr, ACC: tl.constexpr,
    BLOCK_I: tl.constexpr, BLOCK_J: tl.constexpr, BLOCK_D: tl.constexpr,
):  # fmt: skip
    i = tl.program_id(0).to(tl.int64) * BLOCK_I + tl.arange(0, BLOCK_I)
    column = tl.arange(0, BLOCK_D)
    i_mask = (i < m)[:, None] & (column < d)[None, :]
    x_i = tl.load(x_ptr + (i[:, None] * d + column[None, :]), mask=i_mask, other=0.0)
    square_i = tl.load(squares_ptr + i, mask=i < m, other=0.0)
    h = tl.load(h_ptr).to(ACC)
    out = tl.zeros([BLOCK_I, BLOCK_D], ACC)
    pull = tl.zeros([BLOCK_I], ACC)
    first = tl.program_id(1).to(tl.int64) * span
    for start in range(first, tl.minimum(first + span, m), BLOCK_J):
        j = (start + tl.arange(0, BLOCK_J)).to(tl.int64)
        j_mask = (j < m)[:, None] & (column < d)[None, :]
        x_j = tl.load(x_ptr + (j[:, None] * d + column[None, :]), mask=j_mask, other=0.0)
        square_j = tl.load(squares_ptr + j, mask=j < m, other=float("inf"))  # a kernel of 0
        inner = tl.dot(x_i, tl.trans(x_j), input_precision=PRECISION, out_dtype=ACC)
        square = square_i[:, None] + square_j[None, :] - 2.0 * inner
        ratio = tl.where(square > 0.0, square, 0.0) / h
        across = column.to(tl.int64)[:, None] * m + j[None, :]
        across_mask = (column < d)[:, None] & (j < m)[None, :]
        if IMQ:
            kernel = tl.rsqrt(1.0 + ratio)
            weight = kernel * kernel * kernel
            pull += tl.sum(weight, 1)
            spread = tl.load(spread_ptr + across, mask=across_mask, other=0.0)
            out -= tl.dot(weight, tl.trans(spread), input_precision=PRECISION, out_dtype=ACC)
        else:
            kernel = tl.exp(-ratio)
            pull += tl.sum(kernel, 1)
        moved = tl.load(moved_ptr + across, mask=across_mask, other=0.0)
        out += tl.dot(kernel, tl.trans(moved), input_precision=PRECISION, out_dtype=ACC)
    pull = (pull if IMQ else 2.0 * pull) / h
    out = (out + pull[:, None] * x_i) / m
    row = tl.program_id(1).to(tl.int64) * m + i
    tl.store(out_ptr + (row[:, None] * d + column[None, :]), out, mask=i_mask)


def forward(particles: Tensor, scores: Tensor, bandwidth: Tensor, imq: bool) -> Tensor:
    """The direction (m, d) for particles and scores (m, d), whose products are summed over parts of the particles.

    The particles are centred first: squared distances are differences of squares.
    """
    m, d = particles.shape
    dtype, acc = accumulator(particles, scores)
    if not particles.numel():
        return torch.empty(m, d, dtype=dtype, device=particles.device)
    x, h = particles.to(dtype), bandwidth.to(dtype)
    x = x - x.mean(0)
    moved = scores.to(dtype) if imq else scores - 2 * x / h
    blocks = tile(d, acc, imq, is_hopper(x))
    sides = triton.cdiv(m, blocks["BLOCK_I"])
    span, parts = split(m, blocks["BLOCK_J"], sides)
    out = torch.empty(parts, m, d, dtype=dtype, device=x.device)
    spread = (x / h).T.contiguous() if imq else moved  # products take their second factor by columns
    with on(x):
        _forward[(sides, parts)](
            x, x.square().sum(-1), moved.T.contiguous(), spread, h, out, m, d, span,
            IMQ=imq, ACC=acc, **blocks,
        )  # fmt: skip
    return out.sum(0)


def tile(d: int, acc: tl.dtype, imq: bool, hopper: bool = False) -> dict[str, Any]:
    """All d columns at once, up to 64."""
    columns = max(16, triton.next_power_of_2(d))
    if acc == tl.float64:
        columns = max(32, columns)
        precision = {"PRECISION": "ieee", "num_warps": columns // 16, "num_stages": 2}
        return {"BLOCK_I": 16, "BLOCK_J": 16, "BLOCK_D": columns, **precision}
    if hopper:
        precision = {"PRECISION": "tf32x3", "num_warps": 4, "num_stages": 1}
        return {"BLOCK_I": 64, "BLOCK_J": 16 if imq else 32, "BLOCK_D": columns, **precision}
    precision = {"PRECISION": "tf32x3", "num_warps": 4, "num_stages": 2}
    return {"BLOCK_I": 32, "BLOCK_J": 16, "BLOCK_D": columns, **precision}

"""The nearest codebook row of each vector: tiles of the distance matrix are made and reduced in registers."""

from typing import Any

import torch
import triton
import triton.language as tl
from torch import Tensor

from jensen.kernels.launch import accumulator, grid, is_hopper, on


@triton.jit
def _forward(
    z_ptr, code_ptr, half_ptr, index_ptr, r, c, d,
    PRECISION: tl.constexpr, WHOLE: tl.constexpr, ACC: tl.constexpr,
    BLOCK_R: tl.constexpr, BLOCK_C: tl.constexpr, BLOCK_D: tl.constexpr,
):  # fmt: skip
    row = tl.program_id(0).to(tl.int64) * BLOCK_R + tl.arange(0, BLOCK_R)
    live = row < r
    column = tl.arange(0, BLOCK_D)
    if WHOLE:
        z = _tile(z_ptr, row, live, column, d, ACC)
    best = tl.full([BLOCK_R], float("inf"), ACC)
    index = tl.zeros([BLOCK_R], tl.int32)
    for code_start in range(0, c, BLOCK_C):
        code = code_start + tl.arange(0, BLOCK_C)
        if WHOLE:
            codes = _tile(code_ptr, code, code < c, column, d, ACC)
            product = tl.dot(z, tl.trans(codes), input_precision=PRECISION, out_dtype=ACC)
        else:
            product = tl.zeros([BLOCK_R, BLOCK_C], ACC)
            for start in range(0, d, BLOCK_D):
                part = _tile(z_ptr, row, live, start + column, d, ACC)
                codes = _tile(code_ptr, code, code < c, start + column, d, ACC)
                product += tl.dot(part, tl.trans(codes), input_precision=PRECISION, out_dtype=ACC)
        half = tl.load(half_ptr + code.to(tl.int64), mask=code < c, other=float("inf"))
        score = half[None, :] - product
        least = tl.min(score, 1)
        first = tl.min(tl.where(score == least[:, None], code[None, :], c), 1)
        better = least < best
        best = tl.where(better, least, best)
        index = tl.where(better, first, index)
    tl.store(index_ptr + row, index.to(tl.int64), mask=live)


@triton.jit
def _tile(ptr, row, live, column, d, ACC: tl.constexpr):
    mask = live[:, None] & (column < d)[None, :]
    return tl.load(ptr + (row.to(tl.int64)[:, None] * d + column[None, :]), mask=mask, other=0.0).to(ACC)


def forward(z: Tensor, codebook: Tensor) -> Tensor:
    """Indices (r,) of argmin_c |c|^2 / 2 - z . c for z (r, d) and codebook (c, d); the first of equals."""
    r, d = z.shape
    dtype, acc = accumulator(z, codebook)
    index = torch.empty(r, dtype=torch.int64, device=z.device)
    half = 0.5 * codebook.to(dtype).square().sum(-1)
    if r:
        blocks = tile(d, acc, is_hopper(z))
        with on(z):
            _forward[grid(r, blocks["BLOCK_R"])](
                z.contiguous(), codebook.contiguous(), half, index, r, len(codebook), d, ACC=acc, **blocks
            )
    return index


def tile(d: int, acc: tl.dtype, hopper: bool = False) -> dict[str, Any]:
    """Up to 64 columns of z stay where they are; beyond, products are summed over pieces of 32."""
    columns = max(16, triton.next_power_of_2(d))
    whole = columns <= 64
    blocks = {"BLOCK_D": columns if whole else 32, "WHOLE": whole, "num_stages": 2}
    if acc == tl.float64:
        return {**blocks, "BLOCK_R": 32, "BLOCK_C": 32, "PRECISION": "ieee", "num_warps": 4}
    if hopper:
        return {**blocks, "BLOCK_R": 128, "BLOCK_C": 64, "PRECISION": "tf32x3", "num_warps": 8}
    return {**blocks, "BLOCK_R": 64, "BLOCK_C": 32, "PRECISION": "tf32x3", "num_warps": 4}

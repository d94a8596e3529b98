"""The nearest codebook row of each vector: tiles of the distance matrix live and die in registers."""

import torch
import triton
import triton.language as tl
from torch import Tensor

from jensen.kernels.launch import accumulator, grid, on

BLOCKS = {"BLOCK_R": 64, "BLOCK_C": 32, "BLOCK_D": 16, "num_warps": 8}


@triton.jit
def _forward(
    z_ptr, code_ptr, index_ptr, r, c, d,
    ACC: tl.constexpr, BLOCK_R: tl.constexpr, BLOCK_C: tl.constexpr, BLOCK_D: tl.constexpr,
):  # fmt: skip
    row = tl.program_id(0).to(tl.int64) * BLOCK_R + tl.arange(0, BLOCK_R)
    live = row < r
    best = tl.full([BLOCK_R], float("inf"), ACC)
    index = tl.zeros([BLOCK_R], tl.int32)
    for code_start in range(0, c, BLOCK_C):
        code = code_start + tl.arange(0, BLOCK_C)
        product = tl.zeros([BLOCK_R, BLOCK_C], ACC)
        square = tl.zeros([BLOCK_C], ACC)
        for start in range(0, d, BLOCK_D):
            column = start + tl.arange(0, BLOCK_D)
            z_mask = live[:, None] & (column < d)[None, :]
            z = tl.load(z_ptr + (row[:, None] * d + column[None, :]), mask=z_mask, other=0.0).to(ACC)
            code_mask = (code < c)[:, None] & (column < d)[None, :]
            offsets = code.to(tl.int64)[:, None] * d + column[None, :]
            codes = tl.load(code_ptr + offsets, mask=code_mask, other=0.0).to(ACC)
            product += tl.dot(z, tl.trans(codes), input_precision="ieee", out_dtype=ACC)
            square += tl.sum(codes * codes, 1)
        score = tl.where((code < c)[None, :], 0.5 * square[None, :] - product, float("inf"))
        least, where = tl.min(score, 1), tl.argmin(score, 1)
        better = least < best
        best = tl.where(better, least, best)
        index = tl.where(better, code_start + where, index)
    tl.store(index_ptr + row, index.to(tl.int64), mask=live)


def forward(z: Tensor, codebook: Tensor) -> Tensor:
    """Indices (r,) for z (r, d) and codebook (c, d); the first of equals."""
    r, d = z.shape
    _, acc = accumulator(z, codebook)
    index = torch.empty(r, dtype=torch.int64, device=z.device)
    if r:
        with on(z):
            _forward[grid(r, BLOCKS["BLOCK_R"])](
                z.contiguous(), codebook.contiguous(), index, r, len(codebook), d, ACC=acc, **BLOCKS
            )
    return index

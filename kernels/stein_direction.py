"""Stein's variational direction: kernel matrix and both of its products, tile by tile."""

import torch
import triton
import triton.language as tl
from torch import Tensor

from jensen.kernels.launch import accumulator, grid, on


@triton.jit
def _forward(
    x_ptr, s_ptr, h_ptr, out_ptr, m, d,
    IMQ: tl.constexpr, ACC: tl.constexpr, BLOCK_I: tl.constexpr, BLOCK_J: tl.constexpr, BLOCK_D: tl.constexpr,
):  # fmt: skip
    i = tl.program_id(0).to(tl.int64) * BLOCK_I + tl.arange(0, BLOCK_I)
    column = tl.arange(0, BLOCK_D)
    i_mask = (i < m)[:, None] & (column < d)[None, :]
    i_offsets = i[:, None] * d + column[None, :]
    x_i = tl.load(x_ptr + i_offsets, mask=i_mask, other=0.0).to(ACC)
    h = tl.load(h_ptr).to(ACC)
    norm_i = tl.sum(x_i * x_i, 1)
    out = tl.zeros([BLOCK_I, BLOCK_D], ACC)
    pull = tl.zeros([BLOCK_I], ACC)
    for start in range(0, m, BLOCK_J):
        j = (start + tl.arange(0, BLOCK_J)).to(tl.int64)
        j_mask = (j < m)[:, None] & (column < d)[None, :]
        offsets = j[:, None] * d + column[None, :]
        x_j = tl.load(x_ptr + offsets, mask=j_mask, other=0.0).to(ACC)
        s_j = tl.load(s_ptr + offsets, mask=j_mask, other=0.0).to(ACC)
        inner = tl.dot(x_i, tl.trans(x_j), input_precision="ieee", out_dtype=ACC)
        square = norm_i[:, None] + tl.sum(x_j * x_j, 1)[None, :] - 2.0 * inner
        square = tl.where(square > 0.0, square, 0.0) / h
        if IMQ:
            kernel = 1.0 / tl.sqrt(1.0 + square)
            weight = kernel * kernel * kernel / h
        else:
            kernel = tl.exp(-square)
            weight = 2.0 * kernel / h
        alive = (j < m)[None, :]
        kernel, weight = tl.where(alive, kernel, 0.0), tl.where(alive, weight, 0.0)
        out += tl.dot(kernel, s_j, input_precision="ieee", out_dtype=ACC)
        out -= tl.dot(weight, x_j, input_precision="ieee", out_dtype=ACC)
        pull += tl.sum(weight, 1)
    out = (out + pull[:, None] * x_i) / m
    tl.store(out_ptr + i_offsets, out, mask=i_mask)


def forward(particles: Tensor, scores: Tensor, bandwidth: Tensor, imq: bool) -> Tensor:
    """The direction (m, d) for particles and scores (m, d)."""
    m, d = particles.shape
    dtype, acc = accumulator(particles, scores)
    out = torch.empty(m, d, dtype=dtype, device=particles.device)
    if out.numel():
        blocks = tile(d, acc)
        with on(particles):
            _forward[grid(m, blocks["BLOCK_I"])](
                particles.contiguous(), scores.contiguous(), bandwidth.contiguous(), out, m, d,
                IMQ=imq, ACC=acc, **blocks,
            )  # fmt: skip
    return out


def tile(d: int, acc: tl.dtype) -> dict[str, int]:
    """All d columns at once; fewer particles the more of them there are, and fewer in float64."""
    columns = max(16, triton.next_power_of_2(d))
    if acc == tl.float64:
        columns = max(32, columns)
        return {"BLOCK_I": 16, "BLOCK_J": 16, "BLOCK_D": columns, "num_warps": columns // 16}
    side = 32 if columns <= 64 else 16
    return {"BLOCK_I": side, "BLOCK_J": side, "BLOCK_D": columns, "num_warps": 4 if columns <= 32 else 8}

"""z = loc + scale eps and log q(z), with eps made from counters in the kernel, and made again in its backward."""

import torch
import triton
import triton.language as tl
from torch import Tensor

from jensen.kernels.launch import accumulator, bounded, load_rows, on, places, shared, slopes_like
from jensen.kernels.noise import normals

CALLS = 512  # of the generator in a tile, each of which gives four columns
_HALF_LOG_2PI = tl.constexpr(0.9189385332046727)


@triton.jit
def _forward(
    key_ptr, loc_ptr, scale_ptr, z_ptr, log_q_ptr, s, n, d, span, limit,
    WIDTH: tl.constexpr, ACC: tl.constexpr, BLOCK_P: tl.constexpr, BLOCK_R: tl.constexpr, BLOCK_D: tl.constexpr,
):  # fmt: skip
    """log q (column tiles, s, n) is that of each tile's columns."""
    datum = tl.program_id(0).to(tl.int64) * BLOCK_R + tl.arange(0, BLOCK_R)
    start = tl.program_id(2) * BLOCK_D
    column = start + tl.arange(0, BLOCK_D)
    mask = (datum < n)[:, None] & (column < d)[None, :]
    log_scale, _ = bounded(load_rows(scale_ptr, datum, column, d, mask, ACC), limit, WIDTH)
    loc = load_rows(loc_ptr, datum, column, d, mask, ACC)[None, :, :]
    scale = tl.exp(log_scale)[None, :, :]
    fixed = tl.sum(tl.where(mask, log_scale + _HALF_LOG_2PI, 0.0), 1)[None, :]
    first = tl.program_id(1).to(tl.int64) * span
    for particles in range(first, tl.minimum(first + span, s), BLOCK_P):
        particle = (particles + tl.arange(0, BLOCK_P)).to(tl.int64)
        row = particle[:, None] * n + datum[None, :]
        live = (particle < s)[:, None] & (datum < n)[None, :]
        eps, squares = normals(key_ptr, particle, datum, start, d, ACC, BLOCK_P, BLOCK_R, BLOCK_D)
        offsets = row[:, :, None] * d + column[None, None, :]
        tl.store(z_ptr + offsets, loc + scale * eps, mask=live[:, :, None] & (column < d)[None, None, :])
        place = tl.program_id(2).to(tl.int64) * s * n + row
        tl.store(log_q_ptr + place, -0.5 * tl.sum(squares, 2) - fixed, mask=live)


@triton.jit
def _backward(
    gz_ptr, gq_ptr, key_ptr, scale_ptr, dloc_ptr, dscale_ptr, s, n, d, span, limit,
    NEED_LOC: tl.constexpr, NEED_SCALE: tl.constexpr,
    WIDTH: tl.constexpr, ACC: tl.constexpr, BLOCK_P: tl.constexpr, BLOCK_R: tl.constexpr, BLOCK_D: tl.constexpr,
):  # fmt: skip
    """(parts, n, d): the sums over each part of the particles."""
    datum = tl.program_id(0).to(tl.int64) * BLOCK_R + tl.arange(0, BLOCK_R)
    start = tl.program_id(2) * BLOCK_D
    column = start + tl.arange(0, BLOCK_D)
    mask = (datum < n)[:, None] & (column < d)[None, :]
    log_scale, slope = bounded(
        tl.load(scale_ptr + places(datum, column, d), mask=mask, other=0.0).to(ACC), limit, WIDTH
    )
    dloc, dscale = tl.zeros([BLOCK_R, BLOCK_D], ACC), tl.zeros([BLOCK_R, BLOCK_D], ACC)
    weight = tl.zeros([BLOCK_R], ACC)
    first = tl.program_id(1).to(tl.int64) * span
    for particles in range(first, tl.minimum(first + span, s), BLOCK_P):
        particle = (particles + tl.arange(0, BLOCK_P)).to(tl.int64)
        row = particle[:, None] * n + datum[None, :]
        live = (particle < s)[:, None] & (datum < n)[None, :]
        offsets = row[:, :, None] * d + column[None, None, :]
        gz = tl.load(gz_ptr + offsets, mask=live[:, :, None] & (column < d)[None, None, :], other=0.0).to(ACC)
        dloc += tl.sum(gz, 0)
        if NEED_SCALE:
            weight += tl.sum(tl.load(gq_ptr + row, mask=live, other=0.0).to(ACC), 0)
            eps, _ = normals(key_ptr, particle, datum, start, d, ACC, BLOCK_P, BLOCK_R, BLOCK_D)
            dscale += tl.sum(gz * eps, 0)
    place = places(tl.program_id(1).to(tl.int64) * n + datum, column, d)
    if NEED_LOC:
        tl.store(dloc_ptr + place, dloc, mask=mask)
    if NEED_SCALE:
        tl.store(dscale_ptr + place, (tl.exp(log_scale) * dscale - weight[:, None]) * slope, mask=mask)


def tile(s: int, n: int, d: int, acc: tl.dtype) -> tuple[tuple[int, int, int], int, dict[str, int]]:
    """The grid, the particles of a part, and the tile, whose four particles at once share parameters and rounds."""
    return shared(s, n, d, acc, room=CALLS * (4 if d > 2 else 2), least=2, lanes=4)


def forward(key: Tensor, loc: Tensor, log_scale: Tensor, s: int, limit: float, width: float) -> tuple[Tensor, Tensor]:
    """z (s, n, d) in loc's type and log q (s, n)."""
    n, d = loc.shape
    dtype, acc = accumulator(loc, log_scale)
    z = torch.empty(s, n, d, dtype=loc.dtype, device=loc.device)
    if not s * n:
        return z, torch.empty(s, n, dtype=dtype, device=loc.device)
    grid, span, blocks = tile(s, n, d, acc)
    log_q = torch.empty(grid[2], s, n, dtype=dtype, device=loc.device)
    with on(loc):
        _forward[grid](
            key.contiguous(), loc.contiguous(), log_scale.contiguous(), z, log_q, s, n, d, span, limit,
            WIDTH=width, ACC=acc, **blocks,
        )  # fmt: skip
    return z, log_q.sum(0) if len(log_q) > 1 else log_q[0]


def backward(
    gz: Tensor,
    gq: Tensor,
    key: Tensor,
    loc: Tensor,
    log_scale: Tensor,
    s: int,
    need_loc: bool,
    need_scale: bool,
    limit: float,
    width: float,
) -> tuple[Tensor, ...]:
    """The gradients for loc and log_scale, (n, d) where needed."""
    n, d = log_scale.shape
    dtype, acc = accumulator(gz, gq, log_scale)
    if not n * d:
        return slopes_like(log_scale, (n, d), dtype, need_loc, need_scale)
    grid, span, blocks = tile(s, n, d, acc)
    grads = slopes_like(log_scale, (grid[1], n, d), dtype, need_loc, need_scale)
    with on(loc):
        _backward[grid](
            gz.contiguous(), gq.contiguous(), key.contiguous(), log_scale.contiguous(), *grads,
            s, n, d, span, limit, NEED_LOC=need_loc, NEED_SCALE=need_scale, WIDTH=width, ACC=acc, **blocks,
        )  # fmt: skip
    return tuple(grad.sum(0) if len(grad) > 1 else grad[0] for grad in grads)

"""log N(z; loc, scale^2) of s samples under each of n normals, whose parameters stay in registers, and its gradient."""

import torch
import triton
import triton.language as tl
from torch import Tensor

from jensen.kernels.launch import accumulator, bounded, load_rows, on, places, shared, slopes_like

_HALF_LOG_2PI = tl.constexpr(0.9189385332046727)
TILE = {"room": 512, "lanes": 4}  # loads of four samples are under way together


@triton.jit
def _forward(
    z_ptr, loc_ptr, scale_ptr, out_ptr, s, n, d, span, limit,
    WIDTH: tl.constexpr, ACC: tl.constexpr, BLOCK_P: tl.constexpr, BLOCK_R: tl.constexpr, BLOCK_D: tl.constexpr,
):  # fmt: skip
    """(column tiles, s, n): of each tile's columns."""
    datum = tl.program_id(0).to(tl.int64) * BLOCK_R + tl.arange(0, BLOCK_R)
    column = tl.program_id(2) * BLOCK_D + tl.arange(0, BLOCK_D)
    mask = (datum < n)[:, None] & (column < d)[None, :]
    log_scale, _ = bounded(load_rows(scale_ptr, datum, column, d, mask, ACC), limit, WIDTH)
    loc = load_rows(loc_ptr, datum, column, d, mask, ACC)[None, :, :]
    inverse = tl.exp(-log_scale)[None, :, :]
    fixed = tl.sum(tl.where(mask, log_scale + _HALF_LOG_2PI, 0.0), 1)[None, :]
    first = tl.program_id(1).to(tl.int64) * span
    for samples in range(first, tl.minimum(first + span, s), BLOCK_P):
        sample = (samples + tl.arange(0, BLOCK_P)).to(tl.int64)
        row = sample[:, None] * n + datum[None, :]
        live = (sample < s)[:, None] & (datum < n)[None, :]
        inside = live[:, :, None] & (column < d)[None, None, :]
        z = tl.load(z_ptr + (row[:, :, None] * d + column[None, None, :]), mask=inside, other=0.0).to(ACC)
        u = tl.where(inside, (z - loc) * inverse, 0.0)
        place = tl.program_id(2).to(tl.int64) * s * n + row
        tl.store(out_ptr + place, -0.5 * tl.sum(u * u, 2) - fixed, mask=live)


@triton.jit
def _backward(
    g_ptr, z_ptr, loc_ptr, scale_ptr, dz_ptr, dloc_ptr, dscale_ptr, s, n, d, span, limit,
    NEED_Z: tl.constexpr, NEED_LOC: tl.constexpr, NEED_SCALE: tl.constexpr,
    WIDTH: tl.constexpr, ACC: tl.constexpr, BLOCK_P: tl.constexpr, BLOCK_R: tl.constexpr, BLOCK_D: tl.constexpr,
):  # fmt: skip
    """That for z, and (parts, n, d) for loc and log_scale: the sums over each part of the samples."""
    datum = tl.program_id(0).to(tl.int64) * BLOCK_R + tl.arange(0, BLOCK_R)
    column = tl.program_id(2) * BLOCK_D + tl.arange(0, BLOCK_D)
    mask = (datum < n)[:, None] & (column < d)[None, :]
    log_scale, slope = bounded(
        tl.load(scale_ptr + places(datum, column, d), mask=mask, other=0.0).to(ACC), limit, WIDTH
    )
    loc = load_rows(loc_ptr, datum, column, d, mask, ACC)[None, :, :]
    inverse = tl.exp(-log_scale)[None, :, :]
    dloc = tl.zeros([BLOCK_P, BLOCK_R, BLOCK_D], ACC)
    dscale = tl.zeros([BLOCK_P, BLOCK_R, BLOCK_D], ACC)
    first = tl.program_id(1).to(tl.int64) * span
    for samples in range(first, tl.minimum(first + span, s), BLOCK_P):
        sample = (samples + tl.arange(0, BLOCK_P)).to(tl.int64)
        row = sample[:, None] * n + datum[None, :]
        live = (sample < s)[:, None] & (datum < n)[None, :]
        offsets = row[:, :, None] * d + column[None, None, :]
        inside = live[:, :, None] & (column < d)[None, None, :]
        g = tl.load(g_ptr + row, mask=live, other=0.0).to(ACC)[:, :, None]
        u = (tl.load(z_ptr + offsets, mask=inside, other=0.0).to(ACC) - loc) * inverse
        pull = g * u * inverse
        if NEED_Z:
            tl.store(dz_ptr + offsets, -pull, mask=inside)
        if NEED_LOC:
            dloc += pull
        if NEED_SCALE:
            dscale += g * (u * u - 1.0)
    place = places(tl.program_id(1).to(tl.int64) * n + datum, column, d)
    if NEED_LOC:
        tl.store(dloc_ptr + place, tl.sum(dloc, 0), mask=mask)
    if NEED_SCALE:
        tl.store(dscale_ptr + place, tl.sum(dscale, 0) * slope, mask=mask)


def forward(z: Tensor, loc: Tensor, log_scale: Tensor, limit: float, width: float) -> Tensor:
    """(s, n) for z (s, n, d), loc and log_scale (n, d)."""
    s, n, d = z.shape
    dtype, acc = accumulator(z, loc, log_scale)
    if not s * n:
        return torch.empty(s, n, dtype=dtype, device=z.device)
    grid, span, blocks = shared(s, n, d, acc, **TILE)
    out = torch.empty(grid[2], s, n, dtype=dtype, device=z.device)
    with on(z):
        _forward[grid](
            z.contiguous(), loc.contiguous(), log_scale.contiguous(), out, s, n, d, span, limit,
            WIDTH=width, ACC=acc, **blocks,
        )  # fmt: skip
    return out.sum(0) if len(out) > 1 else out[0]


def backward(
    g: Tensor,
    z: Tensor,
    loc: Tensor,
    log_scale: Tensor,
    need_z: bool,
    need_loc: bool,
    need_scale: bool,
    limit: float,
    width: float,
) -> tuple[Tensor, ...]:
    """Those for z (s, n, d), and for loc and log_scale (n, d), where needed."""
    s, n, d = z.shape
    dtype, acc = accumulator(g, z, loc, log_scale)
    (dz,) = slopes_like(z, (s, n, d), dtype, need_z)
    if not s * n * d:
        return dz, *slopes_like(z, (n, d), dtype, need_loc, need_scale)
    grid, span, blocks = shared(s, n, d, acc, **TILE)
    grads = slopes_like(z, (grid[1], n, d), dtype, need_loc, need_scale)
    with on(z):
        _backward[grid](
            g.contiguous(), z.contiguous(), loc.contiguous(), log_scale.contiguous(), dz, *grads, s, n, d, span, limit,
            NEED_Z=need_z, NEED_LOC=need_loc, NEED_SCALE=need_scale, WIDTH=width, ACC=acc, **blocks,
        )  # fmt: skip
    return dz, *(grad.sum(0) if len(grad) > 1 else grad[0] for grad in grads)

"""log N(z; loc, scale^2) per row, and its gradient."""

import torch
import triton
import triton.language as tl
from torch import Tensor

from jensen.kernels.launch import accumulator, bounded, grid, load_rows, on, rows, tile

_HALF_LOG_2PI = tl.constexpr(0.9189385332046727)


@triton.jit
def _forward(
    z_ptr, loc_ptr, scale_ptr, out_ptr, r, z_rows, loc_rows, scale_rows, d, limit,
    WIDTH: tl.constexpr, ACC: tl.constexpr, BLOCK_R: tl.constexpr, BLOCK_D: tl.constexpr,
):  # fmt: skip
    row = tl.program_id(0).to(tl.int64) * BLOCK_R + tl.arange(0, BLOCK_R)
    live = row < r
    total = tl.zeros([BLOCK_R], ACC)
    for start in range(0, d, BLOCK_D):
        column = start + tl.arange(0, BLOCK_D)
        mask = live[:, None] & (column < d)[None, :]
        log_scale, _ = bounded(load_rows(scale_ptr, row, scale_rows, column, d, mask, ACC), limit, WIDTH)
        gap = load_rows(z_ptr, row, z_rows, column, d, mask, ACC) - load_rows(
            loc_ptr, row, loc_rows, column, d, mask, ACC
        )
        u = gap * tl.exp(-log_scale)
        total -= tl.sum(tl.where(mask, 0.5 * u * u + log_scale + _HALF_LOG_2PI, 0.0), 1)
    tl.store(out_ptr + row, total, mask=live)


@triton.jit
def _backward(
    g_ptr, z_ptr, loc_ptr, scale_ptr, dz_ptr, dscale_ptr, r, g_rows, z_rows, loc_rows, scale_rows, d, limit,
    WIDTH: tl.constexpr, ACC: tl.constexpr, BLOCK_R: tl.constexpr, BLOCK_D: tl.constexpr,
):  # fmt: skip
    row = tl.program_id(0).to(tl.int64) * BLOCK_R + tl.arange(0, BLOCK_R)
    live = row < r
    g = tl.load(g_ptr + row % g_rows, mask=live, other=0.0).to(ACC)[:, None]
    for start in range(0, d, BLOCK_D):
        column = start + tl.arange(0, BLOCK_D)
        mask = live[:, None] & (column < d)[None, :]
        log_scale, slope = bounded(load_rows(scale_ptr, row, scale_rows, column, d, mask, ACC), limit, WIDTH)
        gap = load_rows(z_ptr, row, z_rows, column, d, mask, ACC) - load_rows(
            loc_ptr, row, loc_rows, column, d, mask, ACC
        )
        inverse = tl.exp(-log_scale)
        u = gap * inverse
        offsets = row[:, None] * d + column[None, :]
        tl.store(dz_ptr + offsets, -g * u * inverse, mask=mask)
        tl.store(dscale_ptr + offsets, g * (u * u - 1.0) * slope, mask=mask)


def forward(z: Tensor, loc: Tensor, log_scale: Tensor, limit: float, width: float) -> Tensor:
    batch = torch.broadcast_shapes(*(t.shape[:-1] for t in (z, loc, log_scale)))
    d = z.shape[-1]
    dtype, acc = accumulator(z, loc, log_scale)
    out = torch.empty(batch, dtype=dtype, device=z.device)
    (z, z_rows), (loc, loc_rows), (log_scale, scale_rows) = (rows(t, batch, 1) for t in (z, loc, log_scale))
    if out.numel():
        blocks = tile(d)
        with on(z):
            _forward[grid(out.numel(), blocks["BLOCK_R"])](
                z, loc, log_scale, out, out.numel(), z_rows, loc_rows, scale_rows, d, limit,
                WIDTH=width, ACC=acc, **blocks,
            )  # fmt: skip
    return out


def backward(g: Tensor, z: Tensor, loc: Tensor, log_scale: Tensor, limit: float, width: float) -> tuple[Tensor, Tensor]:
    """The gradients for z and log_scale, each (*batch, d); that for loc is minus the first."""
    batch = torch.broadcast_shapes(g.shape, *(t.shape[:-1] for t in (z, loc, log_scale)))
    d = z.shape[-1]
    dtype, acc = accumulator(g, z, loc, log_scale)
    dz, dscale = (torch.empty(*batch, d, dtype=dtype, device=z.device) for _ in range(2))
    g, g_rows = rows(g, batch, 0)
    (z, z_rows), (loc, loc_rows), (log_scale, scale_rows) = (rows(t, batch, 1) for t in (z, loc, log_scale))
    count = batch.numel()
    if count and d:
        blocks = tile(d)
        with on(z):
            _backward[grid(count, blocks["BLOCK_R"])](
                g, z, loc, log_scale, dz, dscale, count, g_rows, z_rows, loc_rows, scale_rows, d, limit,
                WIDTH=width, ACC=acc, **blocks,
            )  # fmt: skip
    return dz, dscale

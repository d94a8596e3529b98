"""log N(z; loc, scale^2) per row, and its gradient."""

import torch
import triton
import triton.language as tl
from torch import Tensor

from jensen.kernels.launch import (
    accumulator,
    bounded,
    grid,
    lines,
    load_each,
    load_rows,
    on,
    own_rows,
    places,
    rows,
    rows_of_tile,
    slopes_like,
    store_each,
    tile,
)

_HALF_LOG_2PI = tl.constexpr(0.9189385332046727)


@triton.jit
def _forward(
    z_ptr, loc_ptr, scale_ptr, out_ptr,
    r, z_rows, loc_rows, scale_rows, z_step, loc_step, scale_step, d, limit,
    WIDTH: tl.constexpr, ACC: tl.constexpr, ROW: tl.constexpr, BLOCK_R: tl.constexpr, BLOCK_D: tl.constexpr,
):  # fmt: skip
    row, live = rows_of_tile(r, ROW, BLOCK_R)
    z_row, loc_row = own_rows(z_rows, ROW, BLOCK_R), own_rows(loc_rows, ROW, BLOCK_R)
    scale_row = own_rows(scale_rows, ROW, BLOCK_R)
    total = tl.zeros([BLOCK_R], ACC)
    for start in range(0, d, BLOCK_D):
        column = start + tl.arange(0, BLOCK_D)
        mask = live[:, None] & (column < d)[None, :]
        log_scale, _ = bounded(load_rows(scale_ptr, scale_row, column, scale_step, mask, ACC), limit, WIDTH)
        gap = load_rows(z_ptr, z_row, column, z_step, mask, ACC)
        gap -= load_rows(loc_ptr, loc_row, column, loc_step, mask, ACC)
        u = gap * tl.exp(-log_scale)
        total -= tl.sum(tl.where(mask, 0.5 * u * u + log_scale + _HALF_LOG_2PI, 0.0), 1)
    store_each(out_ptr, row, total, live)


@triton.jit
def _backward(
    g_ptr, z_ptr, loc_ptr, scale_ptr, dz_ptr, dscale_ptr,
    r, g_rows, z_rows, loc_rows, scale_rows, z_step, loc_step, scale_step, d, limit,
    NEED_Z: tl.constexpr, NEED_SCALE: tl.constexpr,
    WIDTH: tl.constexpr, ACC: tl.constexpr, ROW: tl.constexpr, BLOCK_R: tl.constexpr, BLOCK_D: tl.constexpr,
):  # fmt: skip
    row, live = rows_of_tile(r, ROW, BLOCK_R)
    z_row, loc_row = own_rows(z_rows, ROW, BLOCK_R), own_rows(loc_rows, ROW, BLOCK_R)
    scale_row = own_rows(scale_rows, ROW, BLOCK_R)
    g = load_each(g_ptr, own_rows(g_rows, ROW, BLOCK_R), live).to(ACC)[:, None]
    for start in range(0, d, BLOCK_D):
        column = start + tl.arange(0, BLOCK_D)
        mask = live[:, None] & (column < d)[None, :]
        log_scale, slope = bounded(load_rows(scale_ptr, scale_row, column, scale_step, mask, ACC), limit, WIDTH)
        gap = load_rows(z_ptr, z_row, column, z_step, mask, ACC)
        gap -= load_rows(loc_ptr, loc_row, column, loc_step, mask, ACC)
        inverse = tl.exp(-log_scale)
        u = gap * inverse
        offsets = places(row, column, d)
        if NEED_Z:
            tl.store(dz_ptr + offsets, -g * u * inverse, mask=mask)
        if NEED_SCALE:
            tl.store(dscale_ptr + offsets, g * (u * u - 1.0) * slope, mask=mask)


def forward(z: Tensor, loc: Tensor, log_scale: Tensor, limit: float, width: float) -> Tensor:
    batch = torch.broadcast_shapes(*(t.shape[:-1] for t in (z, loc, log_scale)))
    d = z.shape[-1]
    dtype, acc = accumulator(z, loc, log_scale)
    out = torch.empty(batch, dtype=dtype, device=z.device)
    arrays, sizes, steps = zip(*(lines(t, batch) for t in (z, loc, log_scale)), strict=True)
    if out.numel():
        blocks = tile(out.numel(), d, acc)
        with on(z):
            _forward[grid(out.numel(), blocks["BLOCK_R"])](
                *arrays, out, out.numel(), *sizes, *steps, d, limit,
                WIDTH=width, ACC=acc, **blocks,
            )  # fmt: skip
    return out


def backward(
    g: Tensor, z: Tensor, loc: Tensor, log_scale: Tensor, need_z: bool, need_scale: bool, limit: float, width: float
) -> tuple[Tensor, ...]:
    """The gradients for z and log_scale, (*batch, d) where needed; that for loc is minus the first."""
    batch = torch.broadcast_shapes(g.shape, *(t.shape[:-1] for t in (z, loc, log_scale)))
    d = z.shape[-1]
    dtype, acc = accumulator(g, z, loc, log_scale)
    grads = slopes_like(z, (*batch, d), dtype, need_z, need_scale)
    g, g_rows = rows(g, batch, 0)
    arrays, sizes, steps = zip(*(lines(t, batch) for t in (z, loc, log_scale)), strict=True)
    count = batch.numel()
    if count and d:
        blocks = tile(count, d, acc)
        with on(z):
            _backward[grid(count, blocks["BLOCK_R"])](
                g, *arrays, *grads, count, g_rows, *sizes, *steps, d, limit,
                NEED_Z=need_z, NEED_SCALE=need_scale, WIDTH=width, ACC=acc, **blocks,
            )  # fmt: skip
    return grads

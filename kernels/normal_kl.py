"""KL between diagonal normals per row, and its gradient; exact for tiny values."""

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


@triton.jit
def _less_tangent(t, TERMS: tl.constexpr):
    """e^t - 1 - t, and e^t - 1: Taylor series for |t| < 1/2, differences elsewhere."""
    near = tl.abs(t) < 0.5
    small = tl.where(near, t, 0.0)
    series = tl.zeros_like(t) + 1.0
    for i in tl.static_range(TERMS - 2):
        series = 1.0 + series * small / (TERMS - i)
    curve = 0.5 * small * small * series
    grown = tl.exp(tl.where(near, 0.0, t)) - 1.0
    return tl.where(near, curve, grown - t), tl.where(near, small + curve, grown)


@triton.jit
def _forward(
    q_loc_ptr, q_scale_ptr, p_loc_ptr, p_scale_ptr, out_ptr,
    r, q_loc_rows, q_scale_rows, p_loc_rows, p_scale_rows,
    q_loc_step, q_scale_step, p_loc_step, p_scale_step, d, q_limit, p_limit,
    WIDTH: tl.constexpr, TERMS: tl.constexpr, ACC: tl.constexpr, ROW: tl.constexpr,
    BLOCK_R: tl.constexpr, BLOCK_D: tl.constexpr,
):  # fmt: skip
    row, live = rows_of_tile(r, ROW, BLOCK_R)
    q_loc_row, q_scale_row = own_rows(q_loc_rows, ROW, BLOCK_R), own_rows(q_scale_rows, ROW, BLOCK_R)
    p_loc_row, p_scale_row = own_rows(p_loc_rows, ROW, BLOCK_R), own_rows(p_scale_rows, ROW, BLOCK_R)
    total = tl.zeros([BLOCK_R], ACC)
    for start in range(0, d, BLOCK_D):
        column = start + tl.arange(0, BLOCK_D)
        mask = live[:, None] & (column < d)[None, :]
        q_scale, _ = bounded(load_rows(q_scale_ptr, q_scale_row, column, q_scale_step, mask, ACC), q_limit, WIDTH)
        p_scale, _ = bounded(load_rows(p_scale_ptr, p_scale_row, column, p_scale_step, mask, ACC), p_limit, WIDTH)
        gap = load_rows(q_loc_ptr, q_loc_row, column, q_loc_step, mask, ACC)
        gap -= load_rows(p_loc_ptr, p_loc_row, column, p_loc_step, mask, ACC)
        u = gap * tl.exp(-p_scale)
        curve, _ = _less_tangent(2.0 * (q_scale - p_scale), TERMS)
        total += tl.sum(0.5 * (curve + u * u), 1)
    store_each(out_ptr, row, total, live)


@triton.jit
def _backward(
    g_ptr, q_loc_ptr, q_scale_ptr, p_loc_ptr, p_scale_ptr, dq_loc_ptr, dq_scale_ptr, dp_scale_ptr,
    r, g_rows, q_loc_rows, q_scale_rows, p_loc_rows, p_scale_rows,
    q_loc_step, q_scale_step, p_loc_step, p_scale_step, d, q_limit, p_limit,
    NEED_LOC: tl.constexpr, NEED_Q_SCALE: tl.constexpr, NEED_P_SCALE: tl.constexpr,
    WIDTH: tl.constexpr, TERMS: tl.constexpr, ACC: tl.constexpr, ROW: tl.constexpr,
    BLOCK_R: tl.constexpr, BLOCK_D: tl.constexpr,
):  # fmt: skip
    row, live = rows_of_tile(r, ROW, BLOCK_R)
    q_loc_row, q_scale_row = own_rows(q_loc_rows, ROW, BLOCK_R), own_rows(q_scale_rows, ROW, BLOCK_R)
    p_loc_row, p_scale_row = own_rows(p_loc_rows, ROW, BLOCK_R), own_rows(p_scale_rows, ROW, BLOCK_R)
    g = load_each(g_ptr, own_rows(g_rows, ROW, BLOCK_R), live).to(ACC)[:, None]
    for start in range(0, d, BLOCK_D):
        column = start + tl.arange(0, BLOCK_D)
        mask = live[:, None] & (column < d)[None, :]
        q_scale, q_slope = bounded(load_rows(q_scale_ptr, q_scale_row, column, q_scale_step, mask, ACC), q_limit, WIDTH)
        p_scale, p_slope = bounded(load_rows(p_scale_ptr, p_scale_row, column, p_scale_step, mask, ACC), p_limit, WIDTH)
        gap = load_rows(q_loc_ptr, q_loc_row, column, q_loc_step, mask, ACC)
        gap -= load_rows(p_loc_ptr, p_loc_row, column, p_loc_step, mask, ACC)
        inverse = tl.exp(-p_scale)
        u = gap * inverse
        _, grown = _less_tangent(2.0 * (q_scale - p_scale), TERMS)
        offsets = places(row, column, d)
        if NEED_LOC:
            tl.store(dq_loc_ptr + offsets, g * u * inverse, mask=mask)
        if NEED_Q_SCALE:
            tl.store(dq_scale_ptr + offsets, g * grown * q_slope, mask=mask)
        if NEED_P_SCALE:
            tl.store(dp_scale_ptr + offsets, -g * (grown + u * u) * p_slope, mask=mask)


def forward(
    q_loc: Tensor, q_log_scale: Tensor, p_loc: Tensor, p_log_scale: Tensor, q_limit: float, p_limit: float, width: float
) -> Tensor:
    args = (q_loc, q_log_scale, p_loc, p_log_scale)
    batch, d = torch.broadcast_shapes(*(t.shape[:-1] for t in args)), q_loc.shape[-1]
    dtype, acc = accumulator(*args)
    out = torch.empty(batch, dtype=dtype, device=q_loc.device)
    arrays, sizes, steps = zip(*(lines(t, batch) for t in args), strict=True)
    if out.numel():
        blocks = tile(out.numel(), d, acc)
        with on(q_loc):
            _forward[grid(out.numel(), blocks["BLOCK_R"])](
                *arrays, out, out.numel(), *sizes, *steps, d, q_limit, p_limit,
                WIDTH=width, TERMS=terms(dtype), ACC=acc, **blocks,
            )  # fmt: skip
    return out


def backward(
    g: Tensor,
    q_loc: Tensor,
    q_log_scale: Tensor,
    p_loc: Tensor,
    p_log_scale: Tensor,
    need_loc: bool,
    need_q_scale: bool,
    need_p_scale: bool,
    q_limit: float,
    p_limit: float,
    width: float,
) -> tuple[Tensor, ...]:
    """Those for q_loc, q_log_scale and p_log_scale, (*batch, d) where needed; that for p_loc is minus the first."""
    args = (q_loc, q_log_scale, p_loc, p_log_scale)
    batch, d = torch.broadcast_shapes(g.shape, *(t.shape[:-1] for t in args)), q_loc.shape[-1]
    dtype, acc = accumulator(g, *args)
    grads = slopes_like(q_loc, (*batch, d), dtype, need_loc, need_q_scale, need_p_scale)
    g, g_rows = rows(g, batch, 0)
    arrays, sizes, steps = zip(*(lines(t, batch) for t in args), strict=True)
    count = batch.numel()
    if count and d:
        blocks = tile(count, d, acc)
        with on(q_loc):
            _backward[grid(count, blocks["BLOCK_R"])](
                g, *arrays, *grads, count, g_rows, *sizes, *steps, d, q_limit, p_limit,
                NEED_LOC=need_loc, NEED_Q_SCALE=need_q_scale, NEED_P_SCALE=need_p_scale,
                WIDTH=width, TERMS=terms(dtype), ACC=acc, **blocks,
            )  # fmt: skip
    return grads


def terms(dtype: torch.dtype) -> int:
    """Of the Taylor series, for the accumulator's precision."""
    return 14 if dtype == torch.float64 else 9

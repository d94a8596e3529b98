"""z = loc + scale eps and log q(z), with eps made from counters in the kernel, and made again in its backward."""

from typing import Any

import torch
import triton
import triton.language as tl
from torch import Tensor

from jensen.kernels.launch import (
    accumulator,
    bounded,
    grid,
    load_rows,
    on,
    places,
    row_type,
    rows_of_tile,
    slopes_like,
    store_each,
    tile,
)

_HALF_LOG_2PI = tl.constexpr(0.9189385332046727)


@triton.jit
def _normals(key_ptr, particle, datum, start, ACC: tl.constexpr, BLOCK_D: tl.constexpr):
    """The key's standard normals at (particle, datum) rows and BLOCK_D columns from `start`, a multiple of 4."""
    seed = tl.load(key_ptr)
    c0 = (start // 4 + tl.arange(0, BLOCK_D // 4)).to(tl.uint32)[None, :]
    c1 = (tl.load(key_ptr + 1) + particle).to(tl.uint32)[:, None]
    c2 = (tl.load(key_ptr + 2) + datum).to(tl.uint32)[:, None]
    zero = (c0 * 0) + (c1 * 0)
    a, b, c, d = tl.philox(seed, c0 + zero, c1 + zero, c2 + zero, zero)
    first, second = _pair(a, b, ACC)
    third, fourth = _pair(c, d, ACC)
    quads = tl.join(tl.join(first, third), tl.join(second, fourth))
    return tl.reshape(quads, [c1.shape[0], BLOCK_D])


@triton.jit
def _pair(a, b, ACC: tl.constexpr):
    """Box and Muller's two normals of two words."""
    u, v = _uniform(a, ACC), _uniform(b, ACC)
    radius = tl.sqrt(-2.0 * tl.log(tl.where(u > 1e-7, u, 1e-7)))
    angle = 6.283185307179586 * v
    return radius * tl.cos(angle), radius * tl.sin(angle)


@triton.jit
def _uniform(word, ACC: tl.constexpr):
    signed = word.to(tl.int32, bitcast=True)
    return tl.where(signed < 0, -signed - 1, signed).to(ACC) * 4.6566127342e-10


@triton.jit
def _forward(
    key_ptr, loc_ptr, scale_ptr, z_ptr, log_q_ptr, r, n, d, limit,
    WIDTH: tl.constexpr, ACC: tl.constexpr, ROW: tl.constexpr, BLOCK_R: tl.constexpr, BLOCK_D: tl.constexpr,
):  # fmt: skip
    row = rows_of_tile(ROW, BLOCK_R)
    live = row < r
    log_q = tl.zeros([BLOCK_R], ACC)
    for start in range(0, d, BLOCK_D):
        column = start + tl.arange(0, BLOCK_D)
        mask = live[:, None] & (column < d)[None, :]
        log_scale, _ = bounded(load_rows(scale_ptr, row, n, column, d, mask, ACC), limit, WIDTH)
        eps = _normals(key_ptr, row // n, row % n, start, ACC, BLOCK_D)
        z = load_rows(loc_ptr, row, n, column, d, mask, ACC) + tl.exp(log_scale) * eps
        tl.store(z_ptr + places(row, column, d), z, mask=mask)
        log_q -= tl.sum(tl.where(mask, 0.5 * eps * eps + log_scale + _HALF_LOG_2PI, 0.0), 1)
    store_each(log_q_ptr, row, log_q, live)


@triton.jit
def _backward(
    gz_ptr, gq_ptr, key_ptr, scale_ptr, dloc_ptr, dscale_ptr, s, n, d, limit,
    NEED_LOC: tl.constexpr, NEED_SCALE: tl.constexpr,
    WIDTH: tl.constexpr, ACC: tl.constexpr, ROW: tl.constexpr, BLOCK_R: tl.constexpr, BLOCK_D: tl.constexpr,
):  # fmt: skip
    datum = rows_of_tile(ROW, BLOCK_R)
    live = datum < n
    for start in range(0, d, BLOCK_D):
        column = start + tl.arange(0, BLOCK_D)
        mask = live[:, None] & (column < d)[None, :]
        log_scale, slope = bounded(load_rows(scale_ptr, datum, n, column, d, mask, ACC), limit, WIDTH)
        scale = tl.exp(log_scale)
        dloc, dscale = tl.zeros_like(scale), tl.zeros_like(scale)
        for particle in range(s):
            row = datum + tl.cast(particle, tl.int64) * n
            gz = tl.load(gz_ptr + places(row, column, d), mask=mask, other=0.0).to(ACC)
            gq = tl.load(gq_ptr + row, mask=live, other=0.0).to(ACC)[:, None]
            eps = _normals(key_ptr, datum * 0 + particle, datum, start, ACC, BLOCK_D)
            dloc += gz
            dscale += gz * eps * scale - gq
        offsets = places(datum, column, d)
        if NEED_LOC:
            tl.store(dloc_ptr + offsets, dloc, mask=mask)
        if NEED_SCALE:
            tl.store(dscale_ptr + offsets, dscale * slope, mask=mask)


def forward(key: Tensor, loc: Tensor, log_scale: Tensor, s: int, limit: float, width: float) -> tuple[Tensor, Tensor]:
    """z (s, n, d) in loc's type and log q (s, n)."""
    n, d = loc.shape
    dtype, acc = accumulator(loc, log_scale)
    z = torch.empty(s, n, d, dtype=loc.dtype, device=loc.device)
    log_q = torch.empty(s, n, dtype=dtype, device=loc.device)
    if log_q.numel():
        blocks = sample_tile(s * n, d, acc)
        with on(loc):
            _forward[grid(s * n, blocks["BLOCK_R"])](
                key.contiguous(), loc.contiguous(), log_scale.contiguous(), z, log_q, s * n, n, d, limit,
                WIDTH=width, ACC=acc, **blocks,
            )  # fmt: skip
    return z, log_q


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
    grads = slopes_like(log_scale, (n, d), dtype, need_loc, need_scale)
    if n and d:
        blocks = sample_tile(n, d, acc)
        with on(loc):
            _backward[grid(n, blocks["BLOCK_R"])](
                gz.contiguous(), gq.contiguous(), key.contiguous(), log_scale.contiguous(), *grads,
                s, n, d, limit, NEED_LOC=need_loc, NEED_SCALE=need_scale, WIDTH=width, ACC=acc, **blocks,
            )  # fmt: skip
    return grads


def sample_tile(count: int, d: int, acc: tl.dtype) -> dict[str, Any]:
    """At least the four columns of one generator call, in tiles small enough for its registers."""
    columns = max(4, min(tile(count, d, acc)["BLOCK_D"], 64))
    return {"BLOCK_R": max(1, min(256 // columns, 16)), "BLOCK_D": columns, "ROW": row_type(count)}

"""z = loc + scale eps and log q(z), with eps made from counters in the kernel, and made again in its backward."""

import torch
import triton
import triton.language as tl
from torch import Tensor

from jensen.kernels.launch import accumulator, bounded, load_rows, on, places, shared, slopes_like

TILE = {"room": 512, "least": 4}  # a call of the generator gives four columns
_HALF_LOG_2PI = tl.constexpr(0.9189385332046727)


@triton.jit
def _normals(
    key_ptr, particle, datum, start, ACC: tl.constexpr,
    BLOCK_P: tl.constexpr, BLOCK_R: tl.constexpr, BLOCK_D: tl.constexpr,
):  # fmt: skip
    """The key's standard normals of particles, data and BLOCK_D columns from `start`, a multiple of 4."""
    seed = tl.load(key_ptr)
    c0 = (start // 4 + tl.arange(0, BLOCK_D // 4)).to(tl.uint32)[None, None, :]
    c1 = (tl.load(key_ptr + 1) + particle).to(tl.uint32)[:, None, None]
    c2 = (tl.load(key_ptr + 2) + datum).to(tl.uint32)[None, :, None]
    zero = (c0 * 0) + (c1 * 0) + (c2 * 0)
    a, b, c, d = tl.philox(seed, c0 + zero, c1 + zero, c2 + zero, zero)
    first, second = _pair(a, b, ACC)
    third, fourth = _pair(c, d, ACC)
    quads = tl.join(tl.join(first, third), tl.join(second, fourth))
    return tl.reshape(quads, [BLOCK_P, BLOCK_R, BLOCK_D])


@triton.jit
def _pair(a, b, ACC: tl.constexpr):
    """Box and Muller's two normals of two words."""
    u, v = _uniform(a, ACC), _uniform(b, ACC)
    radius = tl.sqrt(-2.0 * tl.log(tl.where(u > 1e-7, u, 1e-7)))
    cosine, sine = _turned(v, ACC)
    return radius * cosine, radius * sine


@triton.jit
def _turned(v, ACC: tl.constexpr):
    """cos(2 pi v) and sin(2 pi v) for v in [0, 1): in float32 by Cephes' polynomials within an eighth of a turn."""
    if ACC == tl.float64:
        return tl.cos(6.283185307179586 * v), tl.sin(6.283185307179586 * v)
    quarter = (4.0 * v + 0.5).to(tl.int32)
    x = 1.5707963267948966 * (4.0 * v - quarter.to(ACC))
    square = x * x
    sine = x + x * square * (-1.6666654611e-1 + square * (8.3321608736e-3 + square * -1.9515295891e-4))
    cosine = 1.0 - 0.5 * square
    cosine += (
        square * square * (4.166664568298827e-2 + square * (-1.388731625493765e-3 + square * 2.443315711809948e-5))
    )
    odd = (quarter & 1) == 1
    first, second = tl.where(odd, sine, cosine), tl.where(odd, cosine, sine)
    return tl.where(((quarter + 1) & 2) == 2, -first, first), tl.where((quarter & 2) == 2, -second, second)


@triton.jit
def _uniform(word, ACC: tl.constexpr):
    signed = word.to(tl.int32, bitcast=True)
    return tl.where(signed < 0, -signed - 1, signed).to(ACC) * 4.6566127342e-10


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
        eps = _normals(key_ptr, particle, datum, start, ACC, BLOCK_P, BLOCK_R, BLOCK_D)
        offsets = row[:, :, None] * d + column[None, None, :]
        tl.store(z_ptr + offsets, loc + scale * eps, mask=live[:, :, None] & (column < d)[None, None, :])
        squares = tl.sum(tl.where((column < d)[None, None, :], eps * eps, 0.0), 2)
        place = tl.program_id(2).to(tl.int64) * s * n + row
        tl.store(log_q_ptr + place, -0.5 * squares - fixed, mask=live)


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
    dloc = tl.zeros([BLOCK_P, BLOCK_R, BLOCK_D], ACC)
    dscale = tl.zeros([BLOCK_P, BLOCK_R, BLOCK_D], ACC)
    scale = tl.exp(log_scale)[None, :, :]
    first = tl.program_id(1).to(tl.int64) * span
    for particles in range(first, tl.minimum(first + span, s), BLOCK_P):
        particle = (particles + tl.arange(0, BLOCK_P)).to(tl.int64)
        row = particle[:, None] * n + datum[None, :]
        live = (particle < s)[:, None] & (datum < n)[None, :]
        offsets = row[:, :, None] * d + column[None, None, :]
        gz = tl.load(gz_ptr + offsets, mask=live[:, :, None] & (column < d)[None, None, :], other=0.0).to(ACC)
        dloc += gz
        if NEED_SCALE:
            gq = tl.load(gq_ptr + row, mask=live, other=0.0).to(ACC)[:, :, None]
            eps = _normals(key_ptr, particle, datum, start, ACC, BLOCK_P, BLOCK_R, BLOCK_D)
            dscale += gz * eps * scale - gq
    place = places(tl.program_id(1).to(tl.int64) * n + datum, column, d)
    if NEED_LOC:
        tl.store(dloc_ptr + place, tl.sum(dloc, 0), mask=mask)
    if NEED_SCALE:
        tl.store(dscale_ptr + place, tl.sum(dscale, 0) * slope, mask=mask)


def forward(key: Tensor, loc: Tensor, log_scale: Tensor, s: int, limit: float, width: float) -> tuple[Tensor, Tensor]:
    """z (s, n, d) in loc's type and log q (s, n)."""
    n, d = loc.shape
    dtype, acc = accumulator(loc, log_scale)
    z = torch.empty(s, n, d, dtype=loc.dtype, device=loc.device)
    if not s * n:
        return z, torch.empty(s, n, dtype=dtype, device=loc.device)
    grid, span, blocks = shared(s, n, d, acc, **TILE)
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
    grid, span, blocks = shared(s, n, d, acc, **TILE)
    grads = slopes_like(log_scale, (grid[1], n, d), dtype, need_loc, need_scale)
    with on(loc):
        _backward[grid](
            gz.contiguous(), gq.contiguous(), key.contiguous(), log_scale.contiguous(), *grads,
            s, n, d, span, limit, NEED_LOC=need_loc, NEED_SCALE=need_scale, WIDTH=width, ACC=acc, **blocks,
        )  # fmt: skip
    return tuple(grad.sum(0) if len(grad) > 1 else grad[0] for grad in grads)

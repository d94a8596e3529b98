"""The standard normals of `core.keys`, made from counters: Philox's ten rounds, then Box and Muller's pairs.

In float32 sines, cosines and logarithms are the special function unit's: of an absolute error below 1e-6 a radius, as
its specification says, in one instruction each.
"""

import triton
import triton.language as tl
from triton.language.extra import libdevice

_INTERPRETED = tl.constexpr(triton.knobs.runtime.interpret)  # the interpreter knows no function of a device


@triton.jit
def normals(
    key_ptr, particle, datum, start, d, ACC: tl.constexpr,
    BLOCK_P: tl.constexpr, BLOCK_R: tl.constexpr, BLOCK_D: tl.constexpr,
):  # fmt: skip
    """The key's draws (particles, data, BLOCK_D columns from `start`): four of each call, or its first two.

    Also the sums of each call's squares in columns below d, (particles, data, calls).
    """
    calls: tl.constexpr = BLOCK_D // 4 if BLOCK_D >= 4 else 1
    c0 = (start // 4 + tl.arange(0, calls)).to(tl.uint32)[None, None, :]
    c1 = (tl.load(key_ptr + 1) + particle).to(tl.uint32)[:, None, None]
    c2 = (tl.load(key_ptr + 2) + datum).to(tl.uint32)[None, :, None]
    zero = (c0 * 0) + (c1 * 0) + (c2 * 0)
    w0, w1, w2, w3 = _philox(tl.load(key_ptr), c0 + zero, c1 + zero, c2 + zero)
    column = start + BLOCK_D // calls * tl.arange(0, calls)[None, None, :]
    first, second = _pair(w0, w1, ACC)
    squares = _square(first, column, d) + _square(second, column + 1, d)
    if BLOCK_D >= 4:
        third, fourth = _pair(w2, w3, ACC)
        squares += _square(third, column + 2, d) + _square(fourth, column + 3, d)
        each = tl.join(tl.join(first, third), tl.join(second, fourth))
    else:
        each = tl.join(first, second)
    return tl.reshape(each, [BLOCK_P, BLOCK_R, BLOCK_D]), squares


@triton.jit
def _square(eps, column, d):
    return tl.where(column < d, eps * eps, 0.0)


@triton.jit
def _philox(seed, a, b, c):
    """Four words, with one product of 64 bits for both halves that a round needs; Triton's own takes two."""
    low, high, d = seed.to(tl.uint32), (seed >> 32).to(tl.uint32), a * 0
    for _ in tl.static_range(10):
        first, second = a.to(tl.uint64) * 0xD2511F53, c.to(tl.uint64) * 0xCD9E8D57
        a, c = (second >> 32).to(tl.uint32) ^ b ^ low, (first >> 32).to(tl.uint32) ^ d ^ high
        b, d = second.to(tl.uint32), first.to(tl.uint32)
        low = tl.add(low, 0x9E3779B9, sanitize_overflow=False)
        high = tl.add(high, 0xBB67AE85, sanitize_overflow=False)
    return a, b, c, d


@triton.jit
def _pair(a, b, ACC: tl.constexpr):
    """Two normals of two words."""
    u = _folded(a, ACC) * 4.6566127342e-10
    u = tl.where(u > 1e-7, u, 1e-7)
    angle = _folded(b, ACC) * 2.92583607127508e-9  # 2 pi of it
    if ACC == tl.float64:
        radius = tl.sqrt(-2.0 * tl.log(u))
        return radius * tl.cos(angle), radius * tl.sin(angle)
    rest = 1.0 - u  # near 1, where the logarithm's error is absolute, its series
    near = rest * (2.0 + rest * (1.0 + rest * 0.6666667))
    if _INTERPRETED:
        log2, cosine, sine = tl.log2(u), tl.cos(angle), tl.sin(angle)
    else:
        log2, cosine, sine = libdevice.fast_log2f(u), libdevice.fast_cosf(angle), libdevice.fast_sinf(angle)
    radius = tl.sqrt(tl.where(rest < 0.02, near, -1.3862944 * log2))
    return radius * cosine, radius * sine


@triton.jit
def _folded(word, ACC: tl.constexpr):
    """A word read as signed, without its sign."""
    signed = word.to(tl.int32, bitcast=True)
    return (signed ^ (signed >> 31)).to(ACC)

"""Explicit randomness: counter-based noise, a pure function of a key and of an element's position.

A key is an int64 tensor (3,): a 64-bit seed, the index of the first particle and the index of the first datum.
Noise of shape (s, n, *event) puts sample s at particle ``key[1] + s`` and datum n at ``key[2] + n``, so that any
chunk of particles or data, drawn with `at`, holds exactly the draws it has in the whole:

    normal(key, (s, n, d))[a:b, u:v] == normal(at(key, particle=a, datum=u), (b - a, v - u, d))

The generator is Philox4x32-10 (Salmon et al., 2011, "Parallel random numbers: as easy as 1, 2, 3"); its four
counters are (event block, particle, datum, stream), 32 bits each: indices beyond 2^32 begin again, so no noise may
have more particles, data or event elements. Each call serves four consecutive event elements. Words
are the same on every device and under every transform. A key is used once; `split` and `fold_in` make new ones.
"""

import math
from collections.abc import Sequence
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor

LOW = 0xFFFFFFFF  # the low 32 bits of a 64-bit word
_M0, _M1 = 0xD2511F53 - 2**32, 0xCD9E8D57 - 2**32  # less 2^32, so that products fit in 63 bits; it is added back
_W0, _W1 = 0x9E3779B9, 0xBB67AE85
_NOISE, _FOLD, _SPLIT = 0, 1, 2  # streams: one word is never both noise and a new key


def key(seed: int, device: torch.device | str | None = None) -> Int[Tensor, "3"]:
    """A key for an integer seed, at particle 0 and datum 0."""
    if not isinstance(seed, int):
        raise TypeError(f"expected an integer seed, got {seed!r}")
    if not -(2**63) <= seed < 2**63:
        raise ValueError(f"expected a seed that fits in 64 bits, got {seed}")
    return torch.tensor([seed, 0, 0], dtype=torch.int64, device=device)


def fold_in(key: Int[Tensor, "3"], index: int | Tensor) -> Int[Tensor, "*batch 3"]:
    """A new key for an index (a step, a layer, a rank), or one for each; the key's offsets travel along."""
    seed, offsets = _parts(key)
    index = _index(index, key)
    words = philox(seed, index & LOW, (index >> 32) & LOW, 0, _FOLD)
    return _with_seed(words, offsets)


def split(key: Int[Tensor, "3"], num: int = 2) -> Int[Tensor, "num 3"]:
    """`num` new keys, (num, 3): unpack them, or map over them with `torch.func.vmap`."""
    seed, offsets = _parts(key)
    words = philox(seed, _count(num, key), 0, 0, _SPLIT)
    return _with_seed(words, offsets)


def at(key: Int[Tensor, "3"], particle: int | Tensor = 0, datum: int | Tensor = 0) -> Int[Tensor, "*batch 3"]:
    """The same key moved on by `particle` particles and `datum` data; index tensors give a batch of keys."""
    moves = [_index(move, key) for move in (0, particle, datum)]
    return key + torch.stack(torch.broadcast_tensors(*moves), -1)


def bits(key: Int[Tensor, "3"], shape: tuple[int, ...]) -> Int[Tensor, "..."]:
    """Uniform 32-bit words in [0, 2^32) as int64, of `shape` (particle, datum, *event).

    A shape of fewer than two axes is one particle's noise for one datum: (d,) is event noise.
    """
    return _interleave(_words(key, shape), shape)


def uniform(key: Int[Tensor, "3"], shape: tuple[int, ...], dtype: torch.dtype = torch.float32) -> Float[Tensor, "..."]:
    """Uniform noise in [0, 1), with 31 bits or the type's; the words and their order are Triton's."""
    return _interleave([to_uniform(word, dtype) for word in _words(key, shape)], shape)


def normal(key: Int[Tensor, "3"], shape: tuple[int, ...], dtype: torch.dtype = torch.float32) -> Float[Tensor, "..."]:
    """Standard normal noise by Box and Muller: each pair of words gives a cosine and a sine."""
    a, b, c, d = (to_uniform(word, _compute(dtype)) for word in _words(key, shape))
    return _interleave([*_box_muller(a, b), *_box_muller(c, d)], shape).to(dtype)


def permutation(key: Int[Tensor, "3"], n: int) -> Int[Tensor, "n"]:
    """A uniformly random order of 0 … n - 1: the stable sort of n 62-bit numbers."""
    words = bits(key, (n, 2))
    return torch.argsort((words[:, 0] << 30) ^ (words[:, 1] >> 2), stable=True)


def philox(seed: Tensor, c0: Tensor, c1: Tensor | int, c2: Tensor | int, c3: int) -> tuple[Any, Any, Any, Any]:
    """Ten rounds on counters that broadcast (32-bit words in int64): four 32-bit words in int64."""
    steps = torch.arange(10, device=seed.device)
    keys0, keys1 = ((seed & LOW) + _W0 * steps).unbind(), (((seed >> 32) & LOW) + _W1 * steps).unbind()
    a, b, c, d = c0, c1, c2, c3
    for k0, k1 in zip(keys0, keys1, strict=True):
        product0, product1 = a * _M0, c * _M1
        a, c = (((product1 >> 32) + c) ^ b ^ k0) & LOW, (((product0 >> 32) + a) ^ d ^ k1) & LOW
        b, d = product1, product0  # their high bits fall to the next round's mask
    return a, b & LOW, c, d & LOW


def _words(key: Tensor, shape: tuple[int, ...]) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Each call's four words, (particles, data, blocks) each: an event's element e is word e % 4 of block e // 4."""
    seed, _ = _parts(key)
    particles, data, event = _axes(shape)
    block = _count(-(-event // 4), key)
    particle = (key[1] + torch.arange(particles, device=key.device))[:, None, None] & LOW
    datum = (key[2] + torch.arange(data, device=key.device))[:, None] & LOW
    return philox(seed, block, particle, datum, _NOISE)


def _interleave(words: Sequence[Tensor], shape: tuple[int, ...]) -> Tensor:
    """The elements of `shape` from the four parts of each call."""
    return torch.stack(list(words), -1).flatten(-2)[..., : _axes(shape)[2]].reshape(shape)


def _box_muller(first: Tensor, second: Tensor) -> tuple[Tensor, Tensor]:
    radius, angle = torch.sqrt(-2 * torch.log(first.clamp_min(1e-7))), 2 * math.pi * second
    return radius * torch.cos(angle), radius * torch.sin(angle)


def to_uniform(words: Int[Tensor, "..."], dtype: torch.dtype = torch.float32) -> Float[Tensor, "..."]:
    """32-bit words to [0, 1): a word read as signed, its sign folded away, times just under 2^-31.

    What half precision would round up to 1 stays the largest number below it.
    """
    folded = torch.where(words >= 2**31, LOW - words, words)
    u = (folded.to(_compute(dtype)) * 4.6566127342e-10).to(dtype)
    return u if u.dtype == _compute(dtype) else u.clamp_max(1 - torch.finfo(dtype).eps / 2)


def _parts(key: Tensor) -> tuple[Tensor, Tensor]:
    if key.dtype != torch.int64 or key.shape != (3,):
        raise ValueError(
            f"expected a key, an int64 tensor (3,), got {key.dtype} {tuple(key.shape)}: make one with keys.key(seed)"
        )
    return key[0], key[1:]


def _index(index: int | Tensor, key: Tensor) -> Tensor:
    if isinstance(index, float) or (isinstance(index, Tensor) and index.is_floating_point()):
        raise TypeError(f"expected an integer index, got {index!r}")
    return torch.as_tensor(index, dtype=torch.int64, device=key.device)


def _count(n: int, key: Tensor) -> Tensor:
    """0 … n - 1 as counters. Without the mask a compiler multiplies what it knows to be small in 32 bits."""
    return torch.arange(n, device=key.device) & LOW


def _with_seed(words: tuple[Any, ...], offsets: Tensor) -> Tensor:
    seed = ((words[1] << 32) | words[0])[..., None]
    return torch.cat([seed, offsets.expand(*seed.shape[:-1], 2)], -1)


def _axes(shape: tuple[int, ...]) -> tuple[int, int, int]:
    if len(shape) < 2:
        return 1, 1, math.prod(shape)
    return shape[0], shape[1], math.prod(shape[2:])


def _compute(dtype: torch.dtype) -> torch.dtype:
    if not dtype.is_floating_point:
        raise TypeError(f"expected a floating-point dtype for noise, got {dtype}")
    return torch.float64 if dtype == torch.float64 else torch.float32

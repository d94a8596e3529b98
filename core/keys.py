"""Explicit randomness: counter-based noise, a pure function of a key and of an element's position.

A key is an int64 tensor (3,): a 64-bit seed, the index of the first particle and the index of the first datum.
Noise of shape (s, n, *event) puts sample s at particle ``key[1] + s`` and datum n at ``key[2] + n``, so that any
chunk of particles or data, drawn with `at`, holds exactly the draws it has in the whole:

    normal(key, (s, n, d))[a:b, u:v] == normal(at(key, particle=a, datum=u), (b - a, v - u, d))

The generator is Philox4x32-10 (Salmon et al., 2011, "Parallel random numbers: as easy as 1, 2, 3"); its four
counters are (event block, particle, datum, stream), 32 bits each: indices wrap around at 2^32, so no noise may
have more particles, data or event elements. Each call gives four consecutive event elements. Words
are the same on every device and under every transform. A key is used once; `split` and `fold_in` make new ones.

Cost, eager on one core: 20 microseconds for a few new keys, 200 for more; 120 for noise, and 0.02 per element. A few
words are computed as Python integers and small noise in NumPy, in place of a hundred tensor operations, which take 200
microseconds and are what vmap, torch.compile and CUDA tensors use.
"""

import math
from collections.abc import Sequence
from numbers import Integral
from typing import Any, TypeAlias

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from jensen.core.checks import check_count, check_floating_dtype, check_key, check_sizes, check_tensor, described
from jensen.core.concrete import is_concrete
from jensen.core.contracts import Key

Word: TypeAlias = Any  # an int, an int64 array or an int64 tensor
FEW = 8  # new keys at once by Python's integers
SMALL = 2**15  # calls of the generator by NumPy: torch divides what is larger among cores
LOW = 0xFFFFFFFF  # the low 32 bits of a 64-bit word
_M0, _M1 = 0xD2511F53 - 2**32, 0xCD9E8D57 - 2**32  # less 2^32, so that products fit in 63 bits; it is added back
_W0, _W1 = 0x9E3779B9, 0xBB67AE85
_NOISE, _FOLD, _SPLIT = 0, 1, 2  # streams: one word is never both noise and a new key


def key(seed: int, device: torch.device | str | None = None) -> Key:
    """A key for a whole number, at particle 0 and datum 0."""
    if isinstance(seed, bool) or not isinstance(seed, int | Integral):
        raise TypeError(f"expected seed, a whole number, got {described(seed)}: pass an int")
    if not -(2**63) <= seed < 2**63:
        raise ValueError(f"expected seed in [-2^63, 2^63), got {seed}: pass one that fits in 64 bits")
    try:
        return torch.tensor([int(seed), 0, 0], dtype=torch.int64, device=device)
    except (AssertionError, RuntimeError) as error:  # torch's for a device that is not there, or a name of none
        reason = str(error).partition("\n")[0]
        raise ValueError(
            f"expected device, one of this machine, got {device!r} ({reason}): leave it out for the CPU"
        ) from error


def fold_in(key: Key, index: int | Tensor) -> Int[Tensor, "*batch 3"]:
    """A new key for an index (a step, a layer, a rank), or one for each; the key's offsets travel along."""
    check_key(key)
    return _derived(key, _index("index", index, key), _FOLD)


def split(key: Key, num: int = 2) -> Int[Tensor, "num 3"]:
    """`num` new keys, (num, 3): unpack them, or map over them with `torch.func.vmap`."""
    check_key(key)
    return _derived(key, torch.arange(check_count("num", num, 0), device=key.device), _SPLIT)


def at(key: Key, particle: int | Tensor = 0, datum: int | Tensor = 0) -> Int[Tensor, "*batch 3"]:
    """The same key moved on by `particle` particles and `datum` data; index tensors give a batch of keys."""
    check_key(key)
    moves = [_index("particle", particle, key), _index("datum", datum, key)]
    return key + torch.stack(torch.broadcast_tensors(torch.zeros_like(moves[0]), *moves), -1)


def bits(key: Key, shape: tuple[int, ...]) -> Int[Tensor, "..."]:
    """Uniform 32-bit words in [0, 2^32) as int64, of `shape` (particle, datum, *event).

    A shape of fewer than two axes is one particle's noise for one datum: (d,) is event noise.
    """
    return _interleave(_words(key, shape), shape)


def uniform(key: Key, shape: tuple[int, ...], dtype: torch.dtype = torch.float32) -> Float[Tensor, "..."]:
    """Uniform noise in [0, 1), with 31 bits or the type's; the words and their order are Triton's."""
    return to_uniform(bits(key, shape), dtype)


def normal(key: Key, shape: tuple[int, ...], dtype: torch.dtype = torch.float32) -> Float[Tensor, "..."]:
    """Standard normal noise by Box and Muller: each pair of words gives a cosine and a sine."""
    a, b, c, d = _words(key, shape)
    first, second = to_uniform(torch.stack([a, c, b, d]), _compute(dtype)).split(2)
    radius, angle = torch.sqrt(-2 * torch.log(first.clamp_min(1e-7))), 2 * math.pi * second
    cosine, sine = radius * torch.cos(angle), radius * torch.sin(angle)
    return _interleave([cosine[0], sine[0], cosine[1], sine[1]], shape).to(dtype)


def permutation(key: Key, n: int) -> Int[Tensor, "n"]:
    """A uniformly random order of 0 … n - 1: the stable sort of n 62-bit numbers."""
    words = bits(key, (check_count("n", n, 0), 2))
    return torch.argsort((words[:, 0] << 30) ^ (words[:, 1] >> 2), stable=True)


def philox(seed: Word, c0: Word, c1: Word, c2: Word, c3: Word) -> tuple[Word, Word, Word, Word]:
    """Ten rounds on counters that broadcast: four 32-bit words."""
    a, b, c, d = c0, c1, c2, c3
    for k0, k1 in _schedule(seed):
        product0, product1 = a * _M0, c * _M1
        a, c = (((product1 >> 32) + c) ^ b ^ k0) & LOW, (((product0 >> 32) + a) ^ d ^ k1) & LOW
        b, d = product1, product0  # their high bits fall to the next round's mask
    return a, b & LOW, c, d & LOW


def _schedule(seed: int | Tensor) -> list[tuple[Word, Word]]:
    """The keys of the ten rounds; bits above the 32nd fall to the rounds' masks."""
    low, high = seed & LOW, (seed >> 32) & LOW
    if isinstance(seed, int):
        return [(low + _W0 * i, high + _W1 * i) for i in range(10)]
    steps = torch.arange(10, device=seed.device)
    return list(zip((low + _W0 * steps).unbind(), (high + _W1 * steps).unbind(), strict=True))


def _derived(key: Tensor, index: Tensor, stream: int) -> Tensor:
    """One new key for each index, (*index, 3)."""
    if index.numel() <= FEW and _readable(key, index):
        seed, *offsets = key.tolist()
        words = [philox(seed, i & LOW, (i >> 32) & LOW, 0, stream) for i in index.flatten().tolist()]
        seeds = [(w[1] << 32 | w[0]) - (w[1] >> 31 << 64) for w in words]  # the 64 bits read as signed
        return torch.tensor([[seed, *offsets] for seed in seeds], dtype=torch.int64).reshape(*index.shape, 3)
    words = philox(key[0], index & LOW, (index >> 32) & LOW, 0, stream)
    seeds = ((words[1] << 32) | words[0])[..., None]
    return torch.cat([seeds, key[1:].expand(*seeds.shape[:-1], 2)], -1)


def _words(key: Tensor, shape: tuple[int, ...]) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Each call's four words, (particles, data, blocks) each: an event's element e is word e % 4 of block e // 4."""
    check_key(key)
    particles, data, event = _axes(check_sizes("shape", shape, 0))
    blocks = -(-event // 4)
    if 0 < particles * data * blocks <= SMALL and _readable(key):
        seed, particle, datum = key.tolist()
        counters = _counters(particle, datum, np.arange(particles), np.arange(data), np.arange(blocks))
        a, b, c, d = philox(seed, *counters, _NOISE)
        return torch.from_numpy(a), torch.from_numpy(b), torch.from_numpy(c), torch.from_numpy(d)
    axes = (torch.arange(size, device=key.device) for size in (particles, data, blocks))
    return philox(key[0], *_counters(key[1], key[2], *axes), _NOISE)


def _counters(particle: Word, datum: Word, particles: Word, data: Word, blocks: Word) -> tuple[Word, Word, Word]:
    """Without their masks a compiler multiplies what it knows to be small in 32 bits."""
    return blocks & LOW, (particle + particles)[:, None, None] & LOW, (datum + data)[:, None] & LOW


def _interleave(words: Sequence[Tensor], shape: tuple[int, ...]) -> Tensor:
    """The elements of `shape` from the four words of each call."""
    return torch.stack(list(words), -1).flatten(-2)[..., : _axes(shape)[2]].reshape(shape)


def to_uniform(words: Int[Tensor, "..."], dtype: torch.dtype = torch.float32) -> Float[Tensor, "..."]:
    """32-bit words to [0, 1): a word read as signed, its sign folded away, times just under 2^-31.

    What half precision would round up to 1 stays the largest number below it.
    """
    check_tensor("words", words)
    if words.is_floating_point():
        raise TypeError(f"expected words, whole numbers, got {words.dtype}: draw them with keys.bits(key, shape)")
    folded = torch.where(words >= 2**31, LOW - words, words)
    u = (folded.to(_compute(dtype)) * 4.6566127342e-10).to(dtype)
    return u if u.dtype == _compute(dtype) else u.clamp_max(1 - torch.finfo(dtype).eps / 2)


def _readable(*tensors: Tensor) -> bool:
    return all(t.is_cpu and is_concrete(t) for t in tensors)


def _index(name: str, index: int | Tensor, key: Tensor) -> Tensor:
    if isinstance(index, Tensor):
        whole = not index.is_floating_point() and index.dtype != torch.bool
    else:
        whole = isinstance(index, int | Integral) and not isinstance(index, bool)
    if not whole:
        raise TypeError(f"expected {name}, a whole number or a tensor of them, got {described(index)}: pass an int")
    return torch.as_tensor(index, dtype=torch.int64, device=key.device)


def _axes(shape: tuple[int, ...]) -> tuple[int, int, int]:
    if len(shape) < 2:
        return 1, 1, math.prod(shape)
    return shape[0], shape[1], math.prod(shape[2:])


def _compute(dtype: torch.dtype) -> torch.dtype:
    check_floating_dtype(dtype)
    return torch.float64 if dtype == torch.float64 else torch.float32

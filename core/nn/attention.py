"""Multi-head self-attention (Vaswani et al., 2017), causal over whole sequences and over one part after another.

y_t = sum_{u <= t} softmax_u(q_t . k_u / sqrt(e)) v_u in each head of e = features / heads, and a linear layer over
the heads side by side. `bidirectional` sums over all u.
"""

from dataclasses import dataclass
from typing import NamedTuple, TypeAlias

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from torch.nn import functional as F
from torch.nn.attention import SDPBackend, sdpa_kernel

from jensen.core import keys
from jensen.core.checks import check_count, check_dtype, check_floating, check_key
from jensen.core.contracts import Key
from jensen.core.nn import linear
from jensen.core.nn.initial import Initialiser, xavier
from jensen.core.nn.positions import Rotation, rotation
from jensen.core.trees import Params, check_keys


class Cache(NamedTuple):
    """Keys and values of the positions so far, each (..., heads, t, e)."""

    keys: Tensor
    values: Tensor

    @property
    def length(self) -> int:
        """How many positions."""
        return self.keys.shape[-2]

    def extended(self, keys: Tensor, values: Tensor) -> "Cache":
        """With more positions after these; this cache stays as it is."""
        return Cache(torch.cat([self.keys, keys], -2), torch.cat([self.values, values], -2))

    def with_room(self, length: int, turns: Rotation | None = None) -> "Room":
        """The same with room for so many positions in all, and the rotation of each."""
        keys, values = (t.new_empty(*t.shape[:-2], length, t.shape[-1]) for t in self)
        return Room(keys, values, turns, 0).extended(*self)


@dataclass(frozen=True)
class Room:
    """A cache whose positions are written in place, without copies of those before them and without gradients.

    Of one reader, who goes on from the last one alone: what follows an earlier one is overwritten.
    """

    all_keys: Tensor  # (..., heads, room, e)
    all_values: Tensor
    all_turns: Rotation | None
    length: int

    @property
    def keys(self) -> Tensor:
        return self.all_keys[..., : self.length, :]

    @property
    def values(self) -> Tensor:
        return self.all_values[..., : self.length, :]

    def extended(self, keys: Tensor, values: Tensor) -> "Room":
        """With more positions, of which there must be room."""
        length = self.length + keys.shape[-2]
        self.all_keys[..., self.length : length, :] = keys
        self.all_values[..., self.length : length, :] = values
        return Room(self.all_keys, self.all_values, self.all_turns, length)

    def turns(self, length: int) -> Rotation | None:
        """That of the next positions."""
        return None if self.all_turns is None else self.all_turns.part(self.length, length)


class Slots(NamedTuple):
    """A cache of a fixed size in which each sequence has a length of its own; it takes one position after another.

    It is of tensors alone and none is written in place, so that a traced program takes it and gives it back.
    """

    keys: Float[Tensor, "n heads room e"]
    values: Float[Tensor, "n heads room e"]
    length: Int[Tensor, " n"]

    @property
    def seen(self) -> Bool[Tensor, "n 1 1 room"]:
        """Which places hold a position."""
        return (self._places < self.length[:, None])[:, None, None]

    def extended(self, keys: Float[Tensor, "n heads 1 e"], values: Float[Tensor, "n heads 1 e"]) -> "Slots":
        """With the next position of each sequence, of which there must be room."""
        here = (self._places == self.length[:, None])[:, None, :, None]
        return Slots(torch.where(here, keys, self.keys), torch.where(here, values, self.values), self.length + 1)

    @property
    def _places(self) -> Int[Tensor, " room"]:
        return torch.arange(self.keys.shape[-2], device=self.keys.device)


Past: TypeAlias = Cache | Room | Slots


def init(key: Key, features: int, weight: Initialiser = xavier, dtype: torch.dtype = torch.float32) -> Params:
    """{"inputs": linear features -> queries, keys, values side by side, "output": linear}."""
    check_key(key)
    features = check_count("features", features)
    first, second = keys.split(key)
    return {
        "inputs": linear.init(first, features, 3 * features, weight, dtype),
        "output": linear.init(second, features, features, weight, dtype),
    }


def apply(params: Params, x: Float[Tensor, "... t d"], heads: int, rotary: bool = False) -> Float[Tensor, "... t d"]:
    """x (..., t, features) -> y of its shape; rotary: queries and keys are rotated by their positions."""
    return extend(params, x, None, heads, rotary)[0]


def bidirectional(params: Params, x: Float[Tensor, "... t d"], heads: int) -> Float[Tensor, "... t d"]:
    """x (..., t, features) -> y of its shape, of positions in no order: each sees all of them.

    It has second derivatives and forward ones, as densities along a flow need them, which torch's fused attention has
    not.
    """
    heads = _check(params, x, heads)
    q, k, v = _parts(params, x, heads)
    with sdpa_kernel(SDPBackend.MATH):
        return _joined(params, F.scaled_dot_product_attention(q, k, v))


def extend(
    params: Params, x: Float[Tensor, "... t d"], cache: Past | None, heads: int, rotary: bool = False
) -> tuple[Float[Tensor, "... t d"], Past]:
    """y of t more positions after those of `cache`, None for the first ones, and the cache of all of them.

    The parts' outputs are those of the whole sequence. ValueError where heads do not divide the features.
    """
    heads = _check(params, x, heads)
    turns = turns_after(cache, x, heads) if rotary else None
    return attend(params, x, cache, heads, turns)


def attend(
    params: Params, x: Float[Tensor, "... t d"], cache: Past | None, heads: int, turns: Rotation | None
) -> tuple[Float[Tensor, "... t d"], Past]:
    """`extend` by a rotation that layers share, without checks: within networks that have made them."""
    parts = _parts(params, x, heads)
    q, k = (parts[:2] if turns is None else turns.turned(parts[:2])).unbind()
    v = parts[2]
    now = Cache(k, v) if cache is None else cache.extended(k, v)
    if isinstance(now, Slots):
        y = F.scaled_dot_product_attention(q, now.keys, now.values, attn_mask=now.seen)
    else:
        first = now.length - x.shape[-2]
        y = F.scaled_dot_product_attention(q, now.keys, now.values, attn_mask=_mask(q, first), is_causal=first == 0)
    return _joined(params, y), now


def turns_after(cache: Past | None, x: Float[Tensor, "... t d"], heads: int) -> Rotation:
    """The rotation of queries and keys at the positions after those of a cache, without checks."""
    features = x.shape[-1] // heads
    if isinstance(cache, Slots):  # of each sequence's own, and alike in all heads
        return Rotation(*(each[:, None] for each in rotation(x.shape[-2], features, cache.length, x)))
    return rotation(x.shape[-2], features, 0 if cache is None else cache.length, x)


def check_attention(params: Params, features: int) -> None:
    """KeyError or ValueError unless they are parameters of so many features."""
    check_keys(params, ("inputs", "output"))
    linear.check_linear(params["inputs"], features, 3 * features)
    linear.check_linear(params["output"], features, features)


def _check(params: Params, x: Tensor, heads: int) -> int:
    check_floating("x", x, "... t d", "positions, then features")
    check_attention(params, x.shape[-1])
    check_dtype("x", x, params["inputs"]["weight"], "the parameters")
    heads = check_count("heads", heads)
    if x.shape[-1] % heads:
        raise ValueError(f"expected heads that divide the {x.shape[-1]} features, got {heads}: each head has as many")
    return heads


def _parts(params: Params, x: Tensor, heads: int) -> Tensor:
    """Queries, keys and values, (3, ..., heads, t, e)."""
    parts = F.linear(x, **params["inputs"]).reshape(*x.shape[:-1], 3, heads, x.shape[-1] // heads)
    return parts.movedim(-3, 0).transpose(-3, -2)


def _joined(params: Params, y: Tensor) -> Tensor:
    return F.linear(y.transpose(-3, -2).flatten(-2), **params["output"])


def _mask(q: Tensor, first: int) -> Tensor | None:
    """Which of first + t keys each of t later queries sees; `is_causal` counts both from the first."""
    t = q.shape[-2]
    if first == 0 or t == 1:
        return None
    return torch.ones(t, first + t, dtype=torch.bool, device=q.device).tril(first)

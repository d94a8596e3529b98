"""Multi-head self-attention (Vaswani et al., 2017), causal over whole sequences and over one part after another.

y_t = sum_{u <= t} softmax_u(q_t . k_u / sqrt(e)) v_u in each head of e = features / heads, and a linear layer over
the heads side by side. `bidirectional` sums over all u.
"""

from typing import NamedTuple

import torch
from einops import rearrange
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F
from torch.nn.attention import SDPBackend, sdpa_kernel

from jensen.core import keys
from jensen.core.checks import check_count, check_floating, check_key
from jensen.core.contracts import Key
from jensen.core.nn import linear
from jensen.core.nn.initial import Initialiser, xavier
from jensen.core.nn.positions import rotated
from jensen.core.trees import Params, check_keys


class Cache(NamedTuple):
    """Keys and values of the positions so far, each (..., heads, t, e)."""

    keys: Tensor
    values: Tensor

    @property
    def length(self) -> int:
        """How many positions."""
        return self.keys.shape[-2]


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
    params: Params, x: Float[Tensor, "... t d"], cache: Cache | None, heads: int, rotary: bool = False
) -> tuple[Float[Tensor, "... t d"], Cache]:
    """y of t more positions after those of `cache`, None for the first ones, and the cache of all of them.

    The parts' outputs are those of the whole sequence. ValueError where heads do not divide the features.
    """
    heads = _check(params, x, heads)
    first = 0 if cache is None else cache.length
    parts = _parts(params, x, heads)
    q, k = rotated(parts[:2], first) if rotary else parts[:2]
    v = parts[2]
    now = Cache(k, v) if cache is None else Cache(torch.cat([cache.keys, k], -2), torch.cat([cache.values, v], -2))
    y = F.scaled_dot_product_attention(q, *now, attn_mask=_mask(q, first), is_causal=first == 0)
    return _joined(params, y), now


def _parts(params: Params, x: Tensor, heads: int) -> Tensor:
    """Queries, keys and values, (3, ..., heads, t, e)."""
    return rearrange(linear.apply(params["inputs"], x), "... t (three h e) -> three ... h t e", three=3, h=heads)


def _joined(params: Params, y: Tensor) -> Tensor:
    return linear.apply(params["output"], rearrange(y, "... h t e -> ... t (h e)"))


def _check(params: Params, x: Tensor, heads: int) -> int:
    check_keys(params, ("inputs", "output"))
    check_floating("x", x, "... t d", "positions, then features")
    heads = check_count("heads", heads)
    if x.shape[-1] % heads:
        raise ValueError(f"expected heads that divide the {x.shape[-1]} features, got {heads}: each head has as many")
    return heads


def _mask(q: Tensor, first: int) -> Tensor | None:
    """Which of first + t keys each of t later queries sees; `is_causal` counts both from the first."""
    t = q.shape[-2]
    if first == 0 or t == 1:
        return None
    return torch.ones(t, first + t, dtype=torch.bool, device=q.device).tril(first)

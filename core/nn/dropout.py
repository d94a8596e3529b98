"""Dropout (Srivastava et al., 2014) by a key: what is dropped belongs to its datum, and nothing is without a key."""

import torch
from jaxtyping import Float
from torch import Tensor

from jensen.core import keys
from jensen.core.checks import check_floating, check_key, check_number
from jensen.core.contracts import Key


def apply(key: Key | None, x: Float[Tensor, "n *event"], rate: float = 0.5) -> Float[Tensor, "n *event"]:
    """x / (1 - rate) where it is kept, 0 with probability `rate`: the same mean; x itself for the key None.

    The draw is a function of key and datum: chunks of the data under keys.at(key, datum=first) are the whole's. For
    samples (s, n, *event) map over a key for each with torch.func.vmap.
    """
    check_floating("x", x, "n *event", "data lead: x[None] is one datum")
    rate = check_number("rate", rate, "[0, 1)")
    if key is None:
        return x
    check_key(key)
    kept = keys.uniform(key, (1, *x.shape), torch.float32)[0] >= rate
    return torch.where(kept, x / (1 - rate), 0.0)

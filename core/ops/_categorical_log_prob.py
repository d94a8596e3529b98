"""log Categorical(x; softmax(logits)) over the last axis. Fused: x is never expanded over samples."""

import torch
from jaxtyping import Float, Integer
from torch import Tensor

from jensen.core.numerics import at_least_float32
from jensen.core.ops._indexed_log_prob import are_indices, check_indices, indexed_log_prob
from jensen.core.ops._logits import of_logits
from jensen.core.ops._reduced import check_last
from jensen.core.ops.dispatch import deserves_kernel


def categorical_log_prob(
    x: Float[Tensor, "... d"] | Integer[Tensor, "..."], logits: Float[Tensor, "... d"]
) -> Float[Tensor, "..."]:
    """sum_d of x log softmax(logits), in nats: the log probability of a one-hot x, or of counts but for a constant.

    x in floating point is (..., d). x of an integer type are class indices, without that axis, as (n,) against logits
    (s, n, d), and are never expanded to one-hot; outside [0, d) they raise a ValueError, and where values cannot be
    read, under vmap and torch.compile, give -inf with no gradient.

    Batch axes broadcast, as x (n, d) against logits (s, n, d); the last axes must agree. A logit of -inf is a category
    of probability 0, and contributes 0 where x is 0. Half precision is computed and returned in float32.
    """
    if are_indices(x):
        check_indices("x", x, logits)
        return indexed_log_prob(x, logits)
    check_last(x=x, logits=logits)
    return _op(x, logits) if deserves_kernel(logits, logits.numel()) else reference(x, logits)


def reference(x: Tensor, logits: Tensor) -> Tensor:
    return (at_least_float32(x) * log_softmax(x, logits)).sum(-1)


def log_softmax(x: Tensor, logits: Tensor) -> Tensor:
    """log softmax, with 0 in place of -inf where x = 0, so that their product is 0 and not NaN."""
    value = torch.log_softmax(at_least_float32(logits), -1)
    return torch.where((x == 0) & (value == -torch.inf), 0.0, value)


_op = of_logits("categorical_log_prob", reference, log_softmax)

"""log Categorical(x; softmax(logits)) over the last axis. Fused: x is never expanded over samples."""

import torch
from jaxtyping import Float
from torch import Tensor

from jensen.core.numerics import at_least_float32
from jensen.core.operation import (
    check_last,
    differentiable,
    fake_reduced,
    fake_slopes,
    fitted,
    launch,
    pullback,
    uses_kernel,
)


def categorical_log_prob(x: Float[Tensor, "... d"], logits: Float[Tensor, "... d"]) -> Float[Tensor, "..."]:
    """sum_d of x log softmax(logits), in nats: the log probability of a one-hot x, or of counts but for a constant.

    Batch axes broadcast, as x (n, d) against logits (s, n, d); the last axes must agree. A logit of -inf is an
    impossible category, and costs nothing where x is 0. Half precision is computed and returned in float32.
    """
    check_last(x=x, logits=logits)
    return _op(x, logits) if uses_kernel(logits) else reference(x, logits)


def reference(x: Tensor, logits: Tensor) -> Tensor:
    return (at_least_float32(x) * log_p(x, logits)).sum(-1)


def _vjp(
    needs: tuple[bool, ...], gradients: tuple[Tensor], x: Tensor, logits: Tensor
) -> tuple[Tensor | None, Tensor | None]:
    g = gradients[0]
    return (
        fitted(g[..., None] * log_p(x, logits), x) if needs[0] else None,
        fitted(_slopes(g, x, logits), logits) if needs[1] else None,
    )


def log_p(x: Tensor, logits: Tensor) -> Tensor:
    """log softmax, with 0 in place of a -inf that x = 0 would make NaN."""
    value = torch.log_softmax(at_least_float32(logits), -1)
    return torch.where((x == 0) & (value == -torch.inf), 0.0, value)


_slopes = differentiable(
    "categorical_log_prob_slopes",
    launch("categorical_log_prob", "backward"),
    pullback(reference, (1,)),
    fake_slopes(1),
    events=(0, 1, 1),
)
_op = differentiable(
    "categorical_log_prob", launch("categorical_log_prob"), reference, fake_reduced, events=(1, 1), vjp=_vjp
)

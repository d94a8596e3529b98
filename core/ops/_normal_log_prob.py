"""log N(z; loc, scale^2), diagonal, summed over the last axis. Fused: one pass over z."""

import math
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from jensen.core.numerics import at_least_float32, bounded
from jensen.core.numerics.scale import WIDTH, limit
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

HALF_LOG_2PI = 0.5 * math.log(2 * math.pi)


def normal_log_prob(
    z: Float[Tensor, "... d"], loc: Float[Tensor, "... d"], log_scale: Float[Tensor, "... d"]
) -> Float[Tensor, "..."]:
    """sum_d of -u^2 / 2 - log_scale - log(2 pi) / 2, with u = (z - loc) exp(-log_scale), in nats.

    Batch axes broadcast; the last axes must agree. log_scale passes through `numerics.bounded`. Half precision is
    computed and returned in float32.
    """
    check_last(z=z, loc=loc, log_scale=log_scale)
    return _op(z, loc, log_scale) if uses_kernel(z) else reference(z, loc, log_scale)


def reference(z: Tensor, loc: Tensor, log_scale: Tensor) -> Tensor:
    log_scale = bounded(log_scale)
    u = (at_least_float32(z) - at_least_float32(loc)) * torch.exp(-log_scale)
    return -(0.5 * u.square() + log_scale + HALF_LOG_2PI).sum(-1)


def _vjp(
    needs: tuple[bool, ...], gradients: tuple[Tensor], z: Tensor, loc: Tensor, log_scale: Tensor
) -> tuple[Tensor | None, ...]:
    dz, dscale = _slopes(gradients[0], z, loc, log_scale, needs[0] or needs[1], needs[2])
    return (
        fitted(dz, z) if needs[0] else None,
        -fitted(dz, loc) if needs[1] else None,
        fitted(dscale, log_scale) if needs[2] else None,
    )


def _forward(*args: Tensor) -> Tensor:
    return launch("normal_log_prob")(*args, limit(args[-1].dtype), WIDTH)


def _backward(*args: Any) -> tuple[Tensor, Tensor]:
    return launch("normal_log_prob", "backward")(*args, limit(args[3].dtype), WIDTH)


_slopes = differentiable(
    "normal_log_prob_slopes",
    _backward,
    pullback(reference, (0, 2)),
    fake_slopes(2),
    events=(0, 1, 1, 1),
    outputs=2,
    static=("bool", "bool"),
)
_op = differentiable("normal_log_prob", _forward, reference, fake_reduced, events=(1, 1, 1), vjp=_vjp)

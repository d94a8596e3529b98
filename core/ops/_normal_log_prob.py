"""log N(z; loc, scale^2), diagonal, summed over the last axis. Fused: one pass over z."""

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from jensen.core.numerics import HALF_LOG_2PI, at_least_float32, bounded
from jensen.core.numerics.scale import WIDTH, limit
from jensen.core.operation import differentiable, fitted, over_batch
from jensen.core.ops._reduced import accumulated, check_last, fake_reduced, fake_slopes, pullback
from jensen.core.ops.dispatch import deserves_kernel, launch

SHARED = 2**12  # parameters at least, for a kernel that sums their gradients over samples
SHARED_EVENTS = (2, 3, 2, 2)  # event axes of a gradient (s, n), z (s, n, d), loc and log_scale (n, d)


def normal_log_prob(
    z: Float[Tensor, "... d"], loc: Float[Tensor, "... d"], log_scale: Float[Tensor, "... d"]
) -> Float[Tensor, "..."]:
    """sum_d of -u^2 / 2 - log_scale - log(2 pi) / 2, with u = (z - loc) exp(-log_scale), in nats.

    Batch axes broadcast; the last axes must agree. log_scale passes through `numerics.bounded`. Half precision is
    computed and returned in float32.
    """
    check_last(z=z, loc=loc, log_scale=log_scale)
    return _op(z, loc, log_scale) if deserves_kernel(z, z.numel()) else reference(z, loc, log_scale)


def reference(z: Tensor, loc: Tensor, log_scale: Tensor) -> Tensor:
    log_scale = bounded(log_scale)
    u = (at_least_float32(z) - at_least_float32(loc)) * torch.exp(-log_scale)
    return -(0.5 * u.square() + log_scale + HALF_LOG_2PI).sum(-1)


def _shares(z: Tensor, loc: Tensor, log_scale: Tensor) -> bool:
    """Whether samples z (*s, *n, d) share parameters (*n, d), which are many enough to fill a GPU's tiles."""
    own = loc.shape
    return own == log_scale.shape == z.shape[z.ndim - loc.ndim :] and 1 < loc.ndim < z.ndim and loc.numel() >= SHARED


def _by_samples(z: Tensor, loc: Tensor, log_scale: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """As (s, n, d), (n, d) and (n, d)."""
    loc, log_scale = loc.flatten(0, -2), log_scale.flatten(0, -2)
    return z.reshape(-1, *loc.shape), loc, log_scale


def _vjp(
    needs: tuple[bool, ...], gradients: tuple[Tensor], z: Tensor, loc: Tensor, log_scale: Tensor
) -> tuple[Tensor | None, ...]:
    if _shares(z, loc, log_scale):
        args = _by_samples(z, loc, log_scale)
        slopes = _shared_slopes(gradients[0].reshape(args[0].shape[:-1]), *args, *needs)
        like = zip(slopes, (z, loc, log_scale), needs, strict=True)
        return tuple(fitted(slope.reshape(t.shape), t) if need else None for slope, t, need in like)
    dz, dscale = _slopes(gradients[0], z, loc, log_scale, needs[0] or needs[1], needs[2])
    return (
        fitted(dz, z) if needs[0] else None,
        -fitted(dz, loc) if needs[1] else None,
        fitted(dscale, log_scale) if needs[2] else None,
    )


def _forward(*args: Tensor) -> Tensor:
    edge = limit(args[-1].dtype)
    if _shares(*args):
        return launch("shared_normal_log_prob")(*_by_samples(*args), edge, WIDTH).reshape(args[0].shape[:-1])
    return launch("normal_log_prob")(*args, edge, WIDTH)


def _backward(*args: Any) -> tuple[Tensor, Tensor]:
    return launch("normal_log_prob", "backward")(*args, limit(args[3].dtype), WIDTH)


def _shared_backward(
    g: Tensor, z: Tensor, loc: Tensor, log_scale: Tensor, *needs: bool
) -> tuple[Tensor, Tensor, Tensor]:
    kernel, edge = launch("shared_normal_log_prob", "backward"), limit(log_scale.dtype)
    return over_batch(lambda *each: kernel(*each, *needs, edge, WIDTH), SHARED_EVENTS, g, z, loc, log_scale)


def _shared_reference(g: Tensor, z: Tensor, loc: Tensor, log_scale: Tensor, *needs: bool) -> tuple[Tensor, ...]:
    args, batch = (z, loc, log_scale), _batch(g, z, loc, log_scale)
    full = (t.expand(*batch, *t.shape[t.ndim - event :]) for t, event in zip(args, SHARED_EVENTS[1:], strict=True))
    pull = torch.func.vjp(lambda z, m, a: reference(z, m.unsqueeze(-3), a.unsqueeze(-3)), *full)[1]
    every = pull(g.expand(*batch, *g.shape[-2:]).to(accumulated(*args)))
    some = (slope if need else slope[..., :0] for slope, need in zip(every, needs, strict=True))
    return tuple(slope.to(accumulated(g, *args)) for slope in some)


def _fake_shared(g: Tensor, z: Tensor, loc: Tensor, log_scale: Tensor, *needs: bool) -> tuple[Tensor, ...]:
    batch, dtype = _batch(g, z, loc, log_scale), accumulated(g, z, loc, log_scale)
    shapes = [t.shape[-event:] for t, event in zip((z, loc, log_scale), SHARED_EVENTS[1:], strict=True)]
    return tuple(
        z.new_empty(*batch, *rows, d if need else 0, dtype=dtype)
        for (*rows, d), need in zip(shapes, needs, strict=True)
    )


def _batch(*args: Tensor) -> torch.Size:
    return torch.broadcast_shapes(*(t.shape[: t.ndim - event] for t, event in zip(args, SHARED_EVENTS, strict=True)))


_shared_slopes = differentiable(
    "shared_normal_log_prob_slopes",
    _shared_backward,
    _shared_reference,
    _fake_shared,
    events=SHARED_EVENTS,
    outputs=3,
    static=("bool", "bool", "bool"),
)
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

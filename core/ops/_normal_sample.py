"""Samples of a diagonal normal with their log density. Fused: noise is made in the kernel, and again in backward."""

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from jensen.core import keys
from jensen.core.checks import check_count, check_floating, check_key
from jensen.core.contracts import Key
from jensen.core.numerics import HALF_LOG_2PI, at_least_float32, bounded
from jensen.core.numerics.scale import WIDTH, limit
from jensen.core.operation import differentiable, fitted, over_batch
from jensen.core.ops.dispatch import deserves_kernel, launch


def normal_sample(
    key: Key, loc: Float[Tensor, "n d"], log_scale: Float[Tensor, "n d"], s: int
) -> tuple[Float[Tensor, "s n d"], Float[Tensor, "s n"]]:
    """z = loc + exp(log_scale) eps and log N(z; loc, scale^2) in nats, (s, n, d) and (s, n).

    eps are the draws of ``keys.normal(key, (s, n, d))``, so chunks with `keys.at` are parts of the whole. Both
    outputs are differentiable in loc and log_scale; log q's gradient is the total one, through z as well. log_scale
    passes through `numerics.bounded`. z has loc's type, log q float32 at least.
    """
    check_key(key)
    check_floating("loc", loc, "n d", "one row per datum")
    check_floating("log_scale", log_scale, "n d", "one row per datum")
    if loc.shape != log_scale.shape:
        raise ValueError(
            f"expected loc and log_scale of one shape, got {tuple(loc.shape)} and {tuple(log_scale.shape)}: "
            "expand the smaller"
        )
    s = check_count("s", s)
    f = (
        _op if deserves_kernel(loc, s * loc.numel(), eager=0, compiled=2**25) else reference
    )  # noise costs the host most
    return f(key, loc, log_scale, s)


def reference(key: Tensor, loc: Tensor, log_scale: Tensor, s: int) -> tuple[Tensor, Tensor]:
    if key.ndim > 1 or loc.ndim > 2:
        batch = torch.broadcast_shapes(key.shape[:-1], loc.shape[:-2], log_scale.shape[:-2])
        full = key.expand(*batch, 3), *(t.expand(*batch, *t.shape[-2:]) for t in (loc, log_scale))
        return torch.func.vmap(lambda k, m, a: reference(k, m, a, s))(*full)
    bounded_scale = bounded(log_scale)
    eps = keys.normal(key, (s, *loc.shape), bounded_scale.dtype)
    z = at_least_float32(loc) + torch.exp(bounded_scale) * eps
    log_q = -(0.5 * eps.square() + bounded_scale + HALF_LOG_2PI).sum(-1)
    return z.to(loc.dtype), log_q


def _forward(key: Tensor, loc: Tensor, log_scale: Tensor, s: int) -> tuple[Tensor, Tensor]:
    kernel, edge = launch("normal_sample"), limit(log_scale.dtype)
    return over_batch(lambda k, m, a: kernel(k, m, a, s, edge, WIDTH), (1, 2, 2), key, loc, log_scale)


def _backward(
    gz: Tensor, gq: Tensor, key: Tensor, loc: Tensor, log_scale: Tensor, s: int, *needs: bool
) -> tuple[Tensor, Tensor]:
    kernel, edge = launch("normal_sample", "backward"), limit(log_scale.dtype)
    args = (gz, gq, key, loc, log_scale)
    return over_batch(lambda *each: kernel(*each, s, *needs, edge, WIDTH), (3, 2, 1, 2, 2), *args)


def _backward_reference(
    gz: Tensor, gq: Tensor, key: Tensor, loc: Tensor, log_scale: Tensor, s: int, *needs: bool
) -> tuple[Tensor, ...]:
    loc, log_scale = at_least_float32(loc), at_least_float32(log_scale)
    pull = torch.func.vjp(lambda m, a: reference(key, m, a, s), loc, log_scale)[1]
    slopes = pull((gz.to(loc.dtype), gq))
    return tuple(slope if need else slope[..., :0] for slope, need in zip(slopes, needs, strict=True))


def _fake(key: Tensor, loc: Tensor, log_scale: Tensor, s: int) -> tuple[Tensor, Tensor]:
    batch = torch.broadcast_shapes(key.shape[:-1], loc.shape[:-2], log_scale.shape[:-2])
    n, d = loc.shape[-2:]
    return loc.new_empty(*batch, s, n, d), at_least_float32(log_scale).new_empty(*batch, s, n)


def _fake_backward(
    gz: Tensor, gq: Tensor, key: Tensor, loc: Tensor, log_scale: Tensor, s: int, *needs: bool
) -> tuple[Tensor, ...]:
    batch = torch.broadcast_shapes(gz.shape[:-3], key.shape[:-1], loc.shape[:-2], log_scale.shape[:-2])
    n, d = loc.shape[-2:]
    return tuple(at_least_float32(log_scale).new_empty(*batch, n, d if need else 0) for need in needs)


def _vjp(
    needs: tuple[bool, ...], gradients: Any, key: Tensor, loc: Tensor, log_scale: Tensor, s: int
) -> tuple[Tensor | None, ...]:
    dloc, dscale = _slopes(*gradients, key, loc, log_scale, s, *needs[1:])
    return None, fitted(dloc, loc) if needs[1] else None, fitted(dscale, log_scale) if needs[2] else None


_slopes = differentiable(
    "normal_sample_slopes",
    _backward,
    _backward_reference,
    _fake_backward,
    events=(3, 2, 1, 2, 2),
    outputs=2,
    static=("int", "bool", "bool"),
)
_op = differentiable(
    "normal_sample", _forward, reference, _fake, events=(1, 2, 2), outputs=2, static=("int",), vjp=_vjp
)

"""The gradient through samples, multiplied by a factor per sample that is known only after the forward pass.

The factor arrives as a gradient of the backward pass, so that a doubly reparameterised gradient evaluates log p once.
"""

from typing import NoReturn

import torch
from jaxtyping import Float
from torch import Tensor
from torch.utils import _pytree as pytree

from jensen.core.checks import check_floating
from jensen.core.contracts import Event
from jensen.core.numerics import at_least_float32
from jensen.core.operation import differentiable


def path_scale(z: Event) -> tuple[Event, Float[Tensor, "s n"], Float[Tensor, "s n"]]:
    """(z, zero, zero): values unchanged; z's gradient g comes back as g times the ratio of the two zeros' gradients.

    To scale the path of each sample by a factor (s, n), add (factor * first + second).sum(0) to what is differentiated,
    with the factor detached. Where the second zero has no gradient, z has none. A second derivative raises a
    RuntimeError, and is NaN under torch.compile; forward mode, in which no ratio is known, a NotImplementedError.
    """
    flat, spec = pytree.tree_flatten(z)
    for t in flat:
        check_floating("z", t)
    parts = [_op(t.flatten(2) if t.ndim > 2 else t[..., None]) for t in flat]
    moved = [part.reshape(t.shape) for t, (part, _, _) in zip(flat, parts, strict=True)]
    first, second = (torch.stack([part[i] for part in parts]).sum(0) for i in (1, 2))
    return pytree.tree_unflatten(moved, spec), first, second


def _forward(z: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    zero = at_least_float32(z.detach()).new_zeros(z.shape[:-1])
    return z.clone(), zero, zero.clone()


def _fake(z: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    dtype = torch.promote_types(z.dtype, torch.float32)
    return z.new_empty(z.shape), z.new_empty(z.shape[:-1], dtype=dtype), z.new_empty(z.shape[:-1], dtype=dtype)


def _scaled(g: Tensor, first: Tensor, second: Tensor) -> Tensor:
    ratio = torch.where(second == 0, 0.0, first / torch.where(second == 0, 1.0, second))
    return (g * ratio[..., None]).to(g.dtype)


def _fake_scaled(g: Tensor, first: Tensor, second: Tensor) -> Tensor:
    return g.new_empty(torch.broadcast_shapes(g.shape, (*first.shape, 1), (*second.shape, 1)))


def _no_forward_mode(*args: Tensor) -> NoReturn:
    raise NotImplementedError("a scaled path has no forward mode: use reverse mode, torch.func.grad or jacrev")


def _once(needs: tuple[bool, ...], gradients: tuple[Tensor], *args: Tensor) -> tuple[Tensor | None, ...]:
    """A RuntimeError; NaN in a compiled graph, which has second derivatives whether or not they are used."""
    if torch.compiler.is_compiling():
        return tuple(torch.full_like(t, torch.nan) if need else None for need, t in zip(needs, args, strict=True))
    raise RuntimeError("a scaled path can be differentiated once: its factors are constants to no second derivative")


_slope = differentiable("path_scale_slope", _scaled, _no_forward_mode, _fake_scaled, (3, 2, 2), vjp=_once)


def _vjp(needs: tuple[bool, ...], gradients: tuple[Tensor, ...], z: Tensor) -> tuple[Tensor]:
    return (_slope(*gradients),)


_op = differentiable("path_scale", _forward, _no_forward_mode, _fake, (3,), outputs=3, vjp=_vjp)

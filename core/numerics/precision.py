"""Accumulation types: densities are computed in float32 at least, and small differences of large terms in float64."""

import torch
from jaxtyping import Float
from torch import Tensor

from jensen.core.operation import differentiable, fitted


def at_least_float32(t: Float[Tensor, "..."]) -> Float[Tensor, "..."]:
    """float64 stays, and narrower types become float32.

    The gradient that comes back into float16 saturates at its largest number instead of overflowing to inf.
    """
    return _widen(t) if t.dtype == torch.float16 else t.to(torch.promote_types(t.dtype, torch.float32))


def double(t: Float[Tensor, "..."]) -> Float[Tensor, "..."]:
    """In float64; the gradient into float16 saturates as that of `at_least_float32`."""
    return at_least_float32(t).double()


def narrow(t: Float[Tensor, "..."], like: Tensor) -> Float[Tensor, "..."]:
    """From float64 back to the type of `like`, or to float32 for half precision."""
    return t.to(torch.promote_types(like.dtype, torch.float32))


def _saturating(needs: tuple[bool, ...], gradients: tuple[Tensor], t: Tensor) -> tuple[Tensor]:
    return (fitted(gradients[0], t),)


_widen = differentiable("widen", torch.Tensor.float, torch.Tensor.float, torch.Tensor.float, (0,), vjp=_saturating)

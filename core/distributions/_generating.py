"""Moment generating and characteristic functions of each component."""

import torch
from jaxtyping import Complex, Float
from torch import Tensor

from jensen.core.checks import check_distribution, check_floating, described
from jensen.core.contracts import Characteristic, Distribution, MomentGenerating, can
from jensen.core.numerics import double


def log_mgf(q: Distribution, t: Float[Tensor, "... d"]) -> Float[Tensor, "... d"]:
    """log E e^(t z) of each component at t (s, n, d), for a `MomentGenerating` q; inf where it diverges.

    Its derivatives at 0 are the cumulants: mean, variance, …. TypeError for a q without one, as a heavy tail has none.
    """
    check_distribution("q", q)
    check_floating("t", t)
    if not can(q, MomentGenerating):
        raise TypeError(
            f"expected q with a moment generating function around 0, got {described(q)}: "
            "characteristic(q, t) exists for every q, and samples have the moments that there are"
        )
    return q.log_mgf(t)


def characteristic(q: Distribution, t: Float[Tensor, "... d"]) -> Complex[Tensor, "... d"]:
    """E e^(i t z) of each component at t (s, n, d), complex, for a `Characteristic` q."""
    check_distribution("q", q)
    check_floating("t", t)
    if not can(q, Characteristic):
        raise TypeError(
            f"expected q of scalar components with a characteristic function, got {described(q)}: "
            "average exp(1j * t * z) over samples z"
        )
    return q.characteristic(t)


def imaginary(t: Float[Tensor, "..."]) -> Complex[Tensor, "..."]:
    """i t, in complex128."""
    t = double(t)
    return torch.complex(torch.zeros_like(t), t)


def narrow_complex(value: Complex[Tensor, "..."], like: Tensor) -> Complex[Tensor, "..."]:
    """From complex128 to the type of `like`'s numbers, or to complex64 for half precision."""
    return value if like.dtype == torch.float64 else value.to(torch.complex64)


def real_part(value: Float[Tensor, "..."]) -> Complex[Tensor, "..."]:
    """A real number as a complex one."""
    return torch.complex(value, torch.zeros_like(value))

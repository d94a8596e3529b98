"""What couplings and autoregressive flows do to one component, given parameters from the others."""

from typing import Protocol, runtime_checkable

from jaxtyping import Float
from torch import Tensor

from jensen.core.checks import check_floating, described


@runtime_checkable
class Transform(Protocol):
    """An increasing map of each component, with `parameters` numbers for each: theta (..., parameters, d), z (..., d).

    Both ways give (z', log |dz'_i / dz_i|), (..., d) each. At theta = 0 it is the identity. A value without tensors.
    """

    @property
    def parameters(self) -> int: ...
    def forward(
        self, theta: Float[Tensor, "... p d"], z: Float[Tensor, "... d"], /
    ) -> tuple[Float[Tensor, "... d"], Float[Tensor, "... d"]]: ...
    def inverse(
        self, theta: Float[Tensor, "... p d"], z: Float[Tensor, "... d"], /
    ) -> tuple[Float[Tensor, "... d"], Float[Tensor, "... d"]]: ...


def check_transform(transform: Transform) -> Transform:
    """TypeError for what is no transform, such as its class."""
    if isinstance(transform, type) or not hasattr(transform, "parameters"):
        raise TypeError(
            f"expected transform, a value such as Affine(), got {described(transform)}: pass Affine() or "
            "RationalQuadratic()"
        )
    return transform


def check_parameters(theta: Tensor, parameters: int, z: Tensor) -> None:
    """Parameters for each of z's components."""
    check_floating("z", z, "... d")
    check_floating("theta", theta)
    if theta.shape[-2:] != (parameters, z.shape[-1]):
        raise ValueError(
            f"expected theta (..., {parameters}, {z.shape[-1]}), got {tuple(theta.shape)}: {parameters} numbers for "
            "each component of z"
        )

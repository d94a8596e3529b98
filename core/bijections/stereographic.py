"""The bijection onto the sphere, by stereographic projection."""

import math
from typing import NamedTuple

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from jensen.core.bijections.simplex import slack
from jensen.core.checks import check_floating
from jensen.core.numerics import double


class Stereographic(NamedTuple):
    """value = ((1 - |z|^2) c + 2 T z) / (1 + |z|^2), c = centre / |centre|, T a basis normal to it: d - 1 to d.

    z = 0 gives c, and no z the point opposite. centre (n, d) may have any length but 0.

    Onto        |value| = 1, see `contains`
    Log det     of the sphere's surface: (d - 1) log(2 / (1 + |z|^2))
    """

    centre: Float[Tensor, "*n d"]

    def forward(
        self, z: Float[Tensor, "... m"], context: Tensor | None = None, /
    ) -> tuple[Float[Tensor, "... d"], Float[Tensor, "..."]]:
        check_floating("z", z)
        wide = double(z)
        square = wide.square().sum(-1, keepdim=True)
        share = 2 / (1 + square)
        value = in_frame(torch.cat([share - 1, share * wide], -1), unit(self.centre))
        return value.to(z.dtype), self._log_det(square, z)

    def inverse(
        self, value: Float[Tensor, "... d"], context: Tensor | None = None, /
    ) -> tuple[Float[Tensor, "... m"], Float[Tensor, "..."]]:
        check_floating("value", value)
        height, rest = of_frame(unit(value), unit(self.centre)).tensor_split([1], -1)
        side = rest.square().sum(-1, keepdim=True)
        upper = height >= 0  # where 1 + height keeps its digits, else side / (1 - height) does
        z = rest / torch.where(upper, 1 + height, side / torch.where(upper, 1.0, 1 - height))
        return z.to(value.dtype), -self._log_det(z.square().sum(-1, keepdim=True), value)

    def contains(self, value: Float[Tensor, "... d"], /) -> Bool[Tensor, "..."]:
        """Whether |value|^2 is 1 to 1e-6 or ten times the type's epsilon."""
        check_floating("value", value)
        return (value.double().square().sum(-1) - 1).abs() <= slack(value.dtype)

    def _log_det(self, square: Tensor, like: Tensor) -> Tensor:
        log_det = (self.centre.shape[-1] - 1) * (math.log(2) - torch.log1p(square[..., 0]))
        return log_det.to(torch.promote_types(like.dtype, torch.float32))


def unit(t: Float[Tensor, "... d"]) -> Float[Tensor, "... d"]:
    """t / |t|, in float64."""
    t = double(t)
    t = t / t.detach().abs().amax(-1, keepdim=True)  # whose squares neither overflow nor vanish
    return t / torch.linalg.vector_norm(t, dim=-1, keepdim=True)


def in_frame(x: Float[Tensor, "... d"], first: Float[Tensor, "*n d"]) -> Float[Tensor, "... d"]:
    """x_1 first + what is normal to it: the orthogonal map that takes the first axis to the unit vector `first`.

    The reflection that takes the first axis to ±first, of the two signs the one that is further from it.
    """
    return _reflected(_turned(x, first), first)


def of_frame(z: Float[Tensor, "... d"], first: Float[Tensor, "*n d"]) -> Float[Tensor, "... d"]:
    """The x of `in_frame`."""
    return _turned(_reflected(z, first), first)


def _reflected(x: Tensor, first: Tensor) -> Tensor:
    normal = torch.cat([first[..., :1] + _side(first), first[..., 1:]], -1)
    return x - 2 * normal * (normal * x).sum(-1, keepdim=True) / normal.square().sum(-1, keepdim=True)


def _turned(x: Tensor, first: Tensor) -> Tensor:
    head = -_side(first) * x[..., :1]
    return torch.cat([head, x[..., 1:].expand(*head.shape[:-1], -1)], -1)


def _side(first: Tensor) -> Tensor:
    return torch.where(first[..., :1].detach() < 0, -1.0, 1.0).to(first.dtype)

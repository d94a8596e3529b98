"""The planar flow (Rezende and Mohamed, 2015)."""

from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from jensen.core import keys
from jensen.core.checks import check_count, check_floating, check_key
from jensen.core.contracts import Key
from jensen.core.flows._root import root


class Planar(NamedTuple):
    """z' = z + v tanh(w . z + b), with v = u / (1 + max(0, -w . u)), so that w . v > -1: u itself where w . u >= 0.

    The paper moves u along w instead, and divides by |w|^2; this v is finite and has a gradient at w = 0 too. `inverse`
    is one scalar root for each value, by bisection and Newton's steps.

    Log det     log(1 + (1 - tanh^2) w . v)
    Context     ignored; see `Hypernetwork`
    Per datum   with an axis n in its fields, one map for each datum, such as an encoder's outputs; without, one for all
    Reference   Rezende and Mohamed, 2015
    """

    u: Float[Tensor, "*n d"]
    w: Float[Tensor, "*n d"]
    b: Float[Tensor, "*n"]

    @classmethod
    def identity(cls, key: Key, d: int, dtype: torch.dtype = torch.float32) -> "Planar":
        """u = 0 and a random direction w."""
        check_key(key)
        w = keys.normal(key, (check_count("d", d),), dtype) / d**0.5
        return cls(torch.zeros_like(w), w, torch.zeros_like(w[0]))

    def forward(
        self, z: Float[Tensor, "*s n d"], context: Tensor | None = None, /
    ) -> tuple[Float[Tensor, "*s n d"], Float[Tensor, "*s n"]]:
        v, slope = self._push(z)
        t = torch.tanh((z * self.w).sum(-1) + self.b)
        return z + v * t[..., None], _log_det(t, slope)

    def inverse(
        self, z: Float[Tensor, "*s n d"], context: Tensor | None = None, /
    ) -> tuple[Float[Tensor, "*s n d"], Float[Tensor, "*s n"]]:
        v, slope = self._push(z)
        along = root((z * self.w).sum(-1), slope - 1, torch.ones_like(slope), self.b)
        t = torch.tanh(along + self.b)
        return z - v * t[..., None], -_log_det(t, slope)

    def push_score(
        self, z: Float[Tensor, "*s n d"], score: Float[Tensor, "*s n d"], context: Tensor | None = None, /
    ) -> Float[Tensor, "*s n d"]:
        """J^-T (score - grad log det), J = I + (1 - tanh^2) v w': by Sherman and Morrison's formula."""
        v, slope = self._push(z)
        t = torch.tanh((z * self.w).sum(-1) + self.b)
        bend, det = 1 - t * t, t * t + (1 - t * t) * slope
        rest = score - self.w * (2 * t * (1 - slope) * bend / det)[..., None]
        return rest - self.w * (bend / det * (v * rest).sum(-1))[..., None]

    def _push(self, z: Tensor) -> tuple[Tensor, Tensor]:
        """v (*n, d), and the least slope 1 + w . v > 0, (*n)."""
        d = self.w.shape[-1]
        check_floating("z", z, f"... {d}", f"the flow is of {d} components")
        product = (self.w * self.u).sum(-1)
        over = 1 + torch.relu(-product)
        return self.u / over[..., None], torch.where(product < 0, 1 / over, 1 + product)


def _log_det(t: Tensor, slope: Tensor) -> Tensor:
    """log(1 + (1 - t^2) (slope - 1)), as a sum of positive numbers."""
    return torch.log(t * t + (1 - t * t) * slope)

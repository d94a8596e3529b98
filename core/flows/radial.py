"""The radial flow (Rezende and Mohamed, 2015)."""

from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from jensen.core import keys
from jensen.core.checks import check_count, check_floating, check_key
from jensen.core.contracts import Key
from jensen.core.numerics import length


class Radial(NamedTuple):
    """z' = centre + (r + gamma) / (r + alpha) (z - centre), with r = |z - centre|.

    alpha = exp(log_alpha) and gamma = exp(log_gamma), so that the paper's beta = gamma - alpha > -alpha. The map is the
    identity where they are equal, draws values to the centre where gamma < alpha, and drives them away where it is
    greater. `inverse` solves a quadratic in r.

    Log det     (d - 1) log((r + gamma) / (r + alpha)) + log((r^2 + 2 alpha r + alpha gamma) / (r + alpha)^2)
    Context     ignored; see `Hypernetwork`
    Per datum   with an axis n in its fields, one map for each datum, such as an encoder's outputs; without, one for all
    Reference   Rezende and Mohamed, 2015
    """

    centre: Float[Tensor, "*n d"]
    log_alpha: Float[Tensor, "*n"]
    log_gamma: Float[Tensor, "*n"]

    @classmethod
    def identity(cls, key: Key, d: int, dtype: torch.dtype = torch.float32) -> "Radial":
        """alpha = gamma = 1 and a random centre."""
        check_key(key)
        centre = keys.normal(key, (check_count("d", d),), dtype)
        return cls(centre, torch.zeros_like(centre[0]), torch.zeros_like(centre[0]))

    def forward(
        self, z: Float[Tensor, "*s n d"], context: Tensor | None = None, /
    ) -> tuple[Float[Tensor, "*s n d"], Float[Tensor, "*s n"]]:
        away, alpha, gamma = self._parts(z)
        r = length(away)
        factor = (r + gamma) / (r + alpha)
        return self.centre + factor[..., None] * away, self._log_det(r, alpha, gamma)

    def inverse(
        self, z: Float[Tensor, "*s n d"], context: Tensor | None = None, /
    ) -> tuple[Float[Tensor, "*s n d"], Float[Tensor, "*s n"]]:
        away, alpha, gamma = self._parts(z)
        image = length(away)
        half = gamma - image  # r^2 + half r - alpha image = 0
        rest = torch.sqrt(half.square() + 4 * alpha * image)
        below = half > 0  # the form without a difference of near numbers
        r = torch.where(below, 2 * alpha * image / torch.where(below, half + rest, 1.0), (rest - half) / 2)
        factor = (r + alpha) / (r + gamma)
        return self.centre + factor[..., None] * away, -self._log_det(r, alpha, gamma)

    def _parts(self, z: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """z - centre, alpha and gamma."""
        d = self.centre.shape[-1]
        check_floating("z", z, f"... {d}", f"the flow is of {d} components")
        return z - self.centre, torch.exp(self.log_alpha), torch.exp(self.log_gamma)

    def _log_det(self, r: Tensor, alpha: Tensor, gamma: Tensor) -> Tensor:
        d = self.centre.shape[-1]
        whole = torch.log(r + alpha)
        return (d - 1) * (torch.log(r + gamma) - whole) + torch.log(r * r + 2 * alpha * r + alpha * gamma) - 2 * whole

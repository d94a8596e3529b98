"""The denoising diffusion of pixels at equally spaced shades: its last step is a mass, so that log p is in bits.

p(x_0 | x_1) is the normal of the last step in cells around the shades, those of -1 and 1 reaching to infinity (Ho et
al., 2020, equation 13). A density of pixels at points would grow without end as its deviation falls. Every step back is
to an x̂_0 within [-1, 1], where all pixels are: without that, errors at the most noise are multiplied by 1 / sqrt(a_T).
"""

from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Float, Int
from torch import Tensor

from jensen.core import keys
from jensen.core.checks import check_count, check_floating, check_number
from jensen.core.concrete import is_concrete
from jensen.core.contracts import Key
from jensen.core.distributions.normal_piece import NormalPiece
from jensen.core.models.transport import diffusion
from jensen.core.models.transport.diffusion import Diffusion
from jensen.core.models.transport.fields import Field
from jensen.core.models.transport.noise_levels import NoiseLevels
from jensen.core.models.transport.weightings import SIMPLE, Bound, Weighting
from jensen.core.trees import Params


@dataclass(frozen=True)
class PixelDiffusion(Diffusion):
    """A diffusion of x (n, d) in {-1, ..., 1}, of so many shades."""

    shades: int

    def predicted(self, params: Params, x: Float[Tensor, "*s n d"], t: Int[Tensor, "*s n"]) -> Float[Tensor, "*s n d"]:
        """The noise in x_t of an x̂_0 that is cut to [-1, 1]."""
        kept = self._at(self.table.kept, t, x)
        clean = (x - (1 - kept).sqrt() * super().predicted(params, x, t)) / kept.sqrt()
        return (x - kept.sqrt() * clean.clamp(-1, 1)) / (1 - kept).sqrt()

    def loss(self, params: Params, x: Float[Tensor, "n d"], key: Key) -> Float[Tensor, " n"]:
        """That of the field's own noise, for what is cut has no gradient; at t = 1 the bound has a mass."""
        t, noise = self._chosen(x, key)
        predicted = super().predicted(params, self.noised(x, t, noise), t)
        found = self._weighted(predicted, noise, t)
        if not isinstance(self.weighting, Bound):
            return found
        return torch.where(t == 1, -self.levels.steps * self._reconstruction(predicted, x, noise), found)

    def bound(self, params: Params, x: Float[Tensor, "n d"], key: Key) -> diffusion.Terms:
        """The terms of `Diffusion.bound`, of which the reconstruction is a log mass of pixels."""
        check_shades(x, self.shades)
        plain = super().bound(params, x, key)
        first = torch.ones(len(x), dtype=torch.int64, device=x.device)
        noise = keys.normal(key, (1, *x.shape), x.dtype)[0]  # that of t = 1
        predicted = self.predicted(params, self.noised(x, first, noise), first)
        return plain._replace(reconstruction=self._reconstruction(predicted, x, noise))

    def _reconstruction(self, predicted: Tensor, x: Tensor, noise: Tensor) -> Tensor:
        """log p(x_0 | x_1) by the noise in x_1, and what is predicted of it."""
        table = self.table
        s = ((1 - table.kept[0]) / table.kept[0]).sqrt().to(x)
        return _log_mass(x, x + s * (noise - predicted), table.variance[0].sqrt(), self.shades).sum(-1)


def build(
    field: Field, levels: NoiseLevels, shades: int, variance: Literal["small", "large"] = "large",
    weighting: Weighting = SIMPLE,
) -> PixelDiffusion:  # fmt: skip
    """A diffusion of these levels, of pixels of so many shades."""
    plain = diffusion.build(field, levels, variance, weighting)
    return PixelDiffusion(field, levels, plain.variance, plain.weighting, check_count("shades", shades, 2))


def log_mass(x: Float[Tensor, "*s d"], loc: Float[Tensor, "*s d"], scale: float, shades: int) -> Float[Tensor, "*s d"]:
    """log P(x) of each pixel: that the shade nearest to N(loc, scale²) is x, in nats."""
    check_shades(x, shades)
    check_floating("loc", loc)
    return _log_mass(x, loc, torch.tensor(check_number("scale", scale, "(0, inf)"), dtype=torch.float64), shades)


def _log_mass(x: Tensor, loc: Tensor, scale: Tensor, shades: int) -> Tensor:
    half = 1 / (shades - 1)
    low = torch.where(x < half - 1, -torch.inf, x - half)
    high = torch.where(x > 1 - half, torch.inf, x + half)
    piece = NormalPiece.between(*((end.double() - loc.double()) / scale.to(x.device) for end in (low, high)))
    return piece.log_mass().to(loc.dtype)


def check_shades(x: Tensor, shades: int) -> None:
    """ValueError for x that is at none of the shades, while torch runs eagerly."""
    last = check_count("shades", shades, 2) - 1
    check_floating("x", x, "... d", "the last axis holds the pixels")
    place = (x + 1) * (last / 2)
    if is_concrete(x) and not bool(((place - place.round()).abs() < 1e-2).all() & (x.abs() < 1 + 1e-3).all()):
        raise ValueError(
            f"expected x at {shades} equally spaced shades from -1 to 1, got others: round it, or give shades"
        )

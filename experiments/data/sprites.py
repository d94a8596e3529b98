"""Images of known factors: one sprite of some shape, scale, rotation and place, every combination of them once.

After dSprites (Matthey et al., 2017), drawn anew and smaller: 3 shapes x 4 scales x 6 rotations x 8 x 8 places, 4,608
images. Rotations stop short of a quarter turn, after which a square is itself again, so that no two factors give one
image. Grey levels are shares of a pixel that are covered.
"""

from typing import NamedTuple

import torch
from torch import Tensor

from jensen.experiments.run.errors import InputError

SHAPES = ("square", "ellipse", "heart")
FACTORS = {"shape": 3, "scale": 4, "rotation": 6, "x": 8, "y": 8}  # how many values each of them has
SMALLEST, LARGEST = 0.3, 0.5625  # a sprite's diameter, as a share of the image's side
PARTS = 4  # of a pixel's side, at whose centres it is covered or not


class Sprites(NamedTuple):
    """Grey images (n, D) in [0, 1] and the factors of each, whole numbers (n, 5) in the order of FACTORS.

    Rotations are anticlockwise; x grows to the right, y downwards.
    """

    images: Tensor
    factors: Tensor
    shape: tuple[int, int, int]  # channels, height, width


def sprites(side: int = 16) -> Sprites:
    """Every combination of factors, the last one fastest. InputError unless the side is a multiple of 16."""
    if side < 16 or side % 16:
        raise InputError(f"expected a side of 16, 32 or another multiple of 16, got {side}: places are whole pixels")
    step, places = side // 16, FACTORS["x"]
    canvas = side + step * (places - 1)  # with a sprite in its centre, of which each place is a window
    drawn = _drawn(canvas, side)
    windows = drawn.unfold(-2, side, step).unfold(-2, side, step).flip(-4, -3)  # (..., y, x, side, side)
    images = windows.transpose(-4, -3).reshape(-1, side * side)
    factors = torch.cartesian_prod(*(torch.arange(size) for size in FACTORS.values()))
    return Sprites(images.contiguous(), factors, (1, side, side))


def _drawn(canvas: int, side: int) -> Tensor:
    """A sprite of each shape, scale and rotation in the centre of a canvas: (3, 4, 6, canvas, canvas)."""
    ticks = (torch.arange(canvas * PARTS) + 0.5) / PARTS - canvas / 2  # pixels from the centre
    radius = torch.linspace(SMALLEST, LARGEST, FACTORS["scale"]) * side / 2
    angle = torch.arange(FACTORS["rotation"]) * (torch.pi / 2 / FACTORS["rotation"])
    y, x = -ticks[:, None] / radius[:, None, None, None], ticks / radius[:, None, None, None]  # y is upwards
    cos, sin = angle.cos()[:, None, None], angle.sin()[:, None, None]
    u, v = cos * x + sin * y, cos * y - sin * x  # (scale, rotation, ticks, ticks)
    covered = torch.stack([_square(u, v), _ellipse(u, v), _heart(u, v)])
    return covered.unflatten(-1, (canvas, PARTS)).unflatten(-3, (canvas, PARTS)).float().mean((-3, -1))


def _square(u: Tensor, v: Tensor) -> Tensor:
    return torch.maximum(u.abs(), v.abs()) < 0.5**0.5


def _ellipse(u: Tensor, v: Tensor) -> Tensor:
    return u.square() + (2 * v).square() < 1


def _heart(u: Tensor, v: Tensor) -> Tensor:
    """(u² + v² - 1)³ < u² v³, whose smallest circle has the centre (0, 1/4) and the radius 5/4."""
    u, v = 1.25 * u, 1.25 * v + 0.25
    return (u.square() + v.square() - 1) ** 3 < u.square() * v**3

"""Points of known places in the plane, and images as points: what a generator is held against.

"ring"    8 normals on a circle of radius 2, of deviation 0.05
"grid"    25 normals at the whole numbers from -2 to 2, of deviation 0.05
"moons"   two half circles that reach into each other, with noise of deviation 0.1
"digits"  scikit-learn's images of 8 x 8 grey pixels, in [-1, 1]
"mnist"   images of 28 x 28 grey pixels, in [-1, 1]
"""

import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, NamedTuple

import torch
from torch import Tensor

from jensen.core import keys
from jensen.core.contracts import Key
from jensen.experiments.data.images import ImageData
from jensen.experiments.run.config import FREE
from jensen.experiments.run.errors import InputError

DEVIATION, NOISE = 0.05, 0.1
TEST = 4000


class Points(NamedTuple):
    """Training and test points (n, d), and the centres of their normals (k, 2), none where there are none."""

    train: Tensor
    test: Tensor
    centres: Tensor


@dataclass(frozen=True)
class PointData:
    """Which points, and how many."""

    data: Literal["ring", "grid", "moons", "digits", "mnist"] = "ring"
    """Eight normals on a circle, 25 on a grid, two moons, or images of digits; mnist is downloaded, or read from
    --data-dir."""
    data_dir: Path | None = field(default=None, metadata=FREE)
    """Folder of the four MNIST idx files, plain or .gz."""
    points: int = 20_000
    """To train on, in the plane."""

    def check(self) -> None:
        """Raises an InputError for what cannot work."""
        if self.points < 1:
            raise InputError(f"expected --points of at least 1, got {self.points}: leave it out")
        if self.images and self.points != PointData.points:
            raise InputError(f"--points is for points in the plane, and {self.data} are images: leave it out")
        if self.data != "mnist" and self.data_dir is not None:
            raise InputError(f"--data-dir holds MNIST's files and {self.data} needs none: use --data mnist, or drop it")

    @property
    def images(self) -> bool:
        """Whether points are images, of pixels in [-1, 1]."""
        return self.data in ("digits", "mnist")

    def load(self, seed: int) -> Points:
        """Training points follow the seed; those of the test do not, so that runs compare."""
        if self.data in ("digits", "mnist"):
            grey = ImageData(data=self.data, data_dir=self.data_dir, pixels="grey").read()
            return Points(2 * grey.train - 1, 2 * grey.test - 1, torch.zeros(0, 2))
        train_key, test_key = keys.fold_in(keys.key(seed), 3), keys.key(1)
        if self.data == "moons":
            return Points(moons(train_key, self.points), moons(test_key, TEST), torch.zeros(0, 2))
        centres = self._centres()
        place_key, noise_key = keys.split(train_key)
        places = keys.bits(place_key, (1, self.points))[0] % len(centres)
        evenly = torch.arange(TEST // 2) % len(centres)  # so that a distance from them has less noise of its own
        by_chance = keys.bits(keys.fold_in(test_key, 1), (1, TEST // 2))[0] % len(centres)  # as a generator has them
        test = around(centres, torch.cat([evenly, by_chance]), test_key)
        return Points(around(centres, places, noise_key), test, centres)

    def _centres(self) -> Tensor:
        if self.data == "grid":
            return torch.cartesian_prod(torch.arange(-2.0, 3.0), torch.arange(-2.0, 3.0))
        angles = torch.arange(8) * (2 * math.pi / 8)
        return 2 * torch.stack([angles.cos(), angles.sin()], 1)


def around(centres: Tensor, places: Tensor, key: Key) -> Tensor:
    """One point about each of the centres (k, 2) that are named, (n, 2)."""
    return centres[places] + DEVIATION * keys.normal(key, (1, len(places), 2))[0]


def moons(key: Key, n: int) -> Tensor:
    """(n, 2): half of them on (cos a, sin a), half on (1 - cos a, 1/2 - sin a), a uniform on [0, pi], with noise."""
    angle_key, noise_key = keys.split(key)
    u = keys.uniform(angle_key, (1, n, 2))[0]
    angle, upper = math.pi * u[:, 0], u[:, 1:] < 0.5
    first = torch.stack([angle.cos(), angle.sin()], 1)
    second = torch.stack([1 - angle.cos(), 0.5 - angle.sin()], 1)
    return torch.where(upper, first, second) + NOISE * keys.normal(noise_key, (1, n, 2))[0]

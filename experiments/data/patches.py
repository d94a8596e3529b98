"""Whitened patches of natural images: scikit-learn's two embedded photographs, a temple in China and a flower.

As sparse coding takes them (Olshausen and Field, 1996): their covariance is the identity, so that what is left to learn
is beyond second moments. Whitening raises the finest scales most, which hold mostly noise: a low-pass filter of the
photographs takes it away, as in that paper.
"""

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from jensen.core import keys
from jensen.core.contracts import Key
from jensen.core.nn.pooling import mean_pool
from jensen.experiments.run.errors import InputError

HALVES = 2  # pixels of a side averaged into one: the finest scale of a JPEG is mostly its compression
CUTOFF = 0.39  # cycles per pixel, as Olshausen and Field's 200 cycles in 512 pixels
TEST_SHARE = 0.2  # of the columns of each photograph, its right edge: no test patch shares a pixel with training


class Whitening(NamedTuple):
    """x -> (x - mean) matrix, with the symmetric matrix of a covariance's inverse square root."""

    mean: Tensor  # (D,)
    matrix: Tensor  # (D, D)

    def __call__(self, x: Tensor) -> Tensor:
        """White patches (n, D)."""
        return (x - self.mean) @ self.matrix

    def inverse(self, white: Tensor) -> Tensor:
        """The patches they came from."""
        return torch.linalg.solve(self.matrix, white, left=False) + self.mean


class Patches(NamedTuple):
    """White patches, (n, D) each, the map that made them, and their shape (channels, height, width)."""

    train: Tensor
    test: Tensor
    whitening: Whitening
    shape: tuple[int, int, int]


def patches(key: Key, train: int = 20_000, test: int = 5_000, side: int = 12, cutoff: float | None = None) -> Patches:
    """Square patches at random places, whitened by the training patches' mean and covariance.

    With a cutoff, in cycles per pixel, the photographs are filtered by `low_pass` first and whitened by the same map:
    the patches' covariance is then what the filter leaves of the identity.

    InputError for fewer training patches than twice the pixels of one, which have no good covariance.
    """
    if side < 1 or train < 2 * side * side or test < 1:
        raise InputError(
            f"expected {2 * side * side} training patches or more and a test patch, got {train} and {test}"
        )
    photographs = _photographs()
    if cutoff is not None and cutoff <= 0:
        raise InputError(f"expected a cutoff above 0 cycles per pixel, got {cutoff}: {CUTOFF} is usual")
    edge = int((1 - TEST_SHARE) * photographs.shape[-1])
    if side > photographs.shape[-1] - edge:
        raise InputError(
            f"expected a side of {photographs.shape[-1] - edge} or less, got {side}: test patches lie there"
        )
    train_key, test_key = keys.split(key)
    left, right = photographs[..., :edge], photographs[..., edge:]
    whitening = fitted(_taken(train_key, left, train, side))
    if cutoff is not None:
        left, right = low_pass(left, cutoff), low_pass(right, cutoff)
    seen, unseen = _taken(train_key, left, train, side), _taken(test_key, right, test, side)
    return Patches(whitening(seen), whitening(unseen), whitening, (1, side, side))


def fitted(x: Tensor) -> Whitening:
    """The whitening of data (n, D) that stays nearest to them: V diag(1 / sqrt(lambda)) V^T of their covariance."""
    wide = x.double()
    variances, axes = torch.linalg.eigh(torch.cov(wide.T))
    return Whitening(wide.mean(0).to(x.dtype), ((axes / variances.sqrt()) @ axes.T).to(x.dtype))


def low_pass(images: Tensor, cutoff: float) -> Tensor:
    """Images (n, H, W), periodic, with every frequency f scaled by exp(-(f / cutoff)^4), in cycles per pixel."""
    height, width = images.shape[-2:]
    rows, columns = torch.fft.fftfreq(height)[:, None], torch.fft.rfftfreq(width)
    gain = torch.exp(-((rows.square() + columns.square()) / cutoff**2).square())
    return torch.fft.irfft2(torch.fft.rfft2(images) * gain, s=(height, width))


def _photographs() -> Tensor:
    """Grey photographs of half their sides, (2, 213, 320) in [0, 1]."""
    from sklearn.datasets import load_sample_images

    return mean_pool(torch.from_numpy(np.stack(load_sample_images().images)).float().mean(-1) / 255, HALVES)


def _taken(key: Key, photographs: Tensor, count: int, side: int) -> Tensor:
    """Patches (count, side * side) at random places of random photographs."""
    n, height, width = photographs.shape
    sizes = torch.tensor([n, height - side + 1, width - side + 1])
    which, row, column = (keys.uniform(key, (count, 3), torch.float64) * sizes).long().unbind(-1)
    ticks = torch.arange(side)
    found = photographs[which[:, None, None], row[:, None, None] + ticks[:, None], column[:, None, None] + ticks]
    return found.flatten(1)

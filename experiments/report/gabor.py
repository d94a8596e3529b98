"""Gabor functions fitted to the filters of a dictionary: how much of each is one localised, oriented wave.

g(u, v) = exp(-u^2 / (2 a^2) - v^2 / (2 b^2)) (c cos(2 pi f . p) + s sin(2 pi f . p)), p the place in the image from the
centre, (u, v) the same along the envelope's axes (Jones and Palmer, 1987; for dictionaries Olshausen and Field, 1996).
An envelope's standard deviations are at most a quarter of the image's side: a wave all over it is no Gabor function.
"""

import math
from typing import NamedTuple

import numpy as np
import torch
from scipy.optimize import least_squares
from torch import Tensor

LEAST, SHARE = 0.5, 0.25  # of an envelope's standard deviation, in pixels, and the most, of the side
STARTS = (1.0, 2.0)  # its value at the start, in pixels
PADDED = 4  # times the image, for the frequency that a fit starts from
EVALUATIONS = 40  # of a fit, at most


class Gabors(NamedTuple):
    """The best fit to each of m filters."""

    r_squared: Tensor  # (m,), the share of a filter's variance that it explains
    centre: Tensor  # (m, 2), row and column in pixels from the middle
    scale: Tensor  # (m, 2), standard deviations of the envelope in pixels
    frequency: Tensor  # (m, 2), cycles per pixel along rows and columns


def fitted(filters: Tensor, shape: tuple[int, int, int]) -> Gabors:
    """Fits to filters (m, h w) of images of one channel, by least squares from a few starts each."""
    images = filters.detach().double().cpu().reshape(-1, *shape[1:]).numpy()
    places = np.stack(np.meshgrid(*(np.arange(side) - (side - 1) / 2 for side in shape[1:]), indexing="ij"))
    found = [_fit(image / np.linalg.norm(image), places) for image in images]
    r_squared, parameters = (torch.from_numpy(np.asarray(each)) for each in zip(*found, strict=True))
    centre, log_scale, frequency, _ = parameters.split([2, 2, 2, 1], -1)
    return Gabors(r_squared, centre, log_scale.exp(), frequency)


def waves(parameters: np.ndarray, places: np.ndarray) -> np.ndarray:
    """The cosine and the sine under their envelope, (pixels, 2), of (centre, log scales, frequency, angle)."""
    row, column = places - parameters[:2, None, None]
    angle, (row_scale, column_scale) = parameters[6], np.exp(-parameters[2:4])
    u, v = row * math.cos(angle) + column * math.sin(angle), column * math.cos(angle) - row * math.sin(angle)
    envelope = np.exp(-0.5 * ((u * row_scale) ** 2 + (v * column_scale) ** 2))
    phase = 2 * np.pi * (parameters[4] * row + parameters[5] * column)
    return np.stack([(envelope * np.cos(phase)).ravel(), (envelope * np.sin(phase)).ravel()], 1)


def _fit(image: np.ndarray, places: np.ndarray) -> tuple[float, np.ndarray]:
    """R^2 and the parameters; the two amplitudes are those of the best linear fit at each step."""
    pixels, half, most = image.ravel(), (np.asarray(image.shape) - 1) / 2, SHARE * min(image.shape)

    def residual(parameters: np.ndarray) -> np.ndarray:
        both = waves(parameters, places)
        return both @ np.linalg.lstsq(both, pixels, rcond=None)[0] - pixels

    low = np.array([*-half, math.log(LEAST), math.log(LEAST), -0.5, -0.5, -np.inf])
    high = np.array([*half, math.log(most), math.log(most), 0.5, 0.5, np.inf])
    centre, frequency = _brightest(image, places), _strongest(image)
    starts = [np.array([*centre, *[math.log(s)] * 2, *frequency, math.atan2(*frequency[::-1])]) for s in STARTS]
    inside = [np.clip(start, low + 1e-3, high - 1e-3) for start in starts]
    fits = [least_squares(residual, start, bounds=(low, high), max_nfev=EVALUATIONS) for start in inside]
    best = min(fits, key=lambda fit: fit.cost)
    return 1 - 2 * best.cost / np.square(pixels - pixels.mean()).sum(), best.x


def _brightest(image: np.ndarray, places: np.ndarray) -> np.ndarray:
    """The place of the largest value."""
    return places[:, *np.unravel_index(np.abs(image).argmax(), image.shape)]


def _strongest(image: np.ndarray) -> np.ndarray:
    """The frequency of the largest Fourier coefficient, columns' half only."""
    height, width = (PADDED * side for side in image.shape)
    power = np.abs(np.fft.rfft2(image, (height, width)))
    row, column = np.unravel_index(power.argmax(), power.shape)
    return np.array([np.fft.fftfreq(height)[row], np.fft.rfftfreq(width)[column]])

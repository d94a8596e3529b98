"""Fits of Gabor functions: a planted one is found with its parameters; waves all over and noise are none."""

import math

import numpy as np
import torch

from jensen.core import keys
from jensen.experiments.report import gabor

SHAPE = (1, 12, 12)
PLACES = np.stack(np.meshgrid(*[np.arange(12) - 5.5] * 2, indexing="ij"))


def test_a_gabor_function_is_found_with_its_parameters():
    parameters = np.array([1.2, -2.0, math.log(1.5), math.log(2.2), 0.21, -0.1, 0.4])
    image = gabor.waves(parameters, PLACES) @ np.array([0.8, -0.5])
    found = gabor.fitted(torch.from_numpy(image)[None], SHAPE)
    assert found.r_squared[0] > 0.999
    torch.testing.assert_close(found.centre[0], torch.tensor([1.2, -2.0]).double(), atol=0.05, rtol=0)
    torch.testing.assert_close(found.scale[0].sort().values, torch.tensor([1.5, 2.2]).double(), atol=0.05, rtol=0)
    wave = torch.tensor([0.21, -0.1]).double()
    assert min((found.frequency[0] - wave).norm(), (found.frequency[0] + wave).norm()) < 0.01


def test_a_wave_all_over_the_image_and_noise_are_none():
    wave = torch.from_numpy(np.cos(2 * np.pi * (0.2 * PLACES[0] + 0.15 * PLACES[1]))).flatten()
    noise = keys.normal(keys.key(0), (1, 3, 144), torch.float64)[0]
    found = gabor.fitted(torch.cat([wave[None], noise]), SHAPE)
    assert found.r_squared[0] < 0.85
    assert (found.r_squared[1:] < 0.4).all()
    assert (found.scale <= 3 + 1e-9).all()

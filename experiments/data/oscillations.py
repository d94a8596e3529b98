"""Irregular time series of known dynamics: damped oscillations, each seen at random times through noise.

y(t) = exp(-decay t) amplitude cos(frequency t + phase), the first coordinate of the linear equation

    dz/dt = z [[-decay, frequency], [-frequency, -decay]]    from    z(0) = amplitude (cos phase, sin phase),

so that a model of continuous time can be held against the exact solution.
"""

from typing import NamedTuple

import torch
from torch import Tensor

from jensen.core import keys
from jensen.core.contracts import Key
from jensen.experiments.run.errors import InputError

RANGES = {"amplitude": (0.5, 1.5), "decay": (0.05, 0.3), "frequency": (1.0, 3.0), "phase": (-torch.pi, torch.pi)}


class Oscillations(NamedTuple):
    """n series of m observations, and what made them."""

    times: Tensor  # (n, m), from 0 to the duration, increasing
    values: Tensor  # (n, m), with noise
    parameters: Tensor  # (n, 4), in the order of RANGES
    noise: Tensor  # 0-d, its standard deviation


def oscillations(key: Key, n: int, m: int = 40, duration: float = 10.0, noise: float = 0.05) -> Oscillations:
    """n series at m uniform times each; their parameters are uniform on RANGES."""
    if n < 1 or m < 1 or duration <= 0 or noise < 0:
        raise InputError(f"expected series, times and a duration above 0, got n={n}, m={m}, {duration=}, {noise=}")
    time_key, parameter_key, noise_key = keys.split(key, 3)
    times = duration * keys.uniform(time_key, (1, n, m))[0].sort(-1).values
    low, high = torch.tensor(list(RANGES.values())).T
    parameters = low + (high - low) * keys.uniform(parameter_key, (1, n, len(RANGES)))[0]
    values = state(parameters, times)[..., 0] + noise * keys.normal(noise_key, (1, n, m))[0]
    return Oscillations(times, values, parameters, torch.tensor(noise))


def state(parameters: Tensor, times: Tensor) -> Tensor:
    """z(t), (n, m, 2), of parameters (n, 4) at times (n, m), without noise."""
    amplitude, decay, frequency, phase = parameters[..., None].unbind(-2)
    angle = frequency * times + phase
    return (amplitude * torch.exp(-decay * times))[..., None] * torch.stack([angle.cos(), angle.sin()], -1)

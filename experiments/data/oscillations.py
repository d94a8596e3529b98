"""Irregular time series of known dynamics: damped oscillations, each seen at random times through noise.

y(t) = exp(-decay t) amplitude cos(frequency t + phase), the first coordinate of the linear equation

    dz/dt = z [[-decay, frequency], [-frequency, -decay]]    from    z(0) = amplitude (cos phase, sin phase),

so that a model of continuous time can be held against the exact solution.
"""

from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from jensen.core import keys
from jensen.core.contracts import Key
from jensen.core.models.latent.series import Series
from jensen.experiments.data.irregular import Asked, irregular
from jensen.experiments.run.errors import InputError

TEST = 1  # the seed of test series in every run, so that runs compare
RANGES = {"amplitude": (0.5, 1.5), "decay": (0.05, 0.3), "frequency": (1.0, 3.0), "phase": (-torch.pi, torch.pi)}


class Oscillations(NamedTuple):
    """n series of m observations, and what made them."""

    times: Tensor  # (n, m), from 0 to the duration, increasing
    values: Tensor  # (n, m), with noise
    parameters: Tensor  # (n, 4), in the order of RANGES
    noise: Tensor  # 0-d, its standard deviation

    def series(self) -> Series:
        """Of one channel, every time of which is observed."""
        return Series(self.times, self.values[..., None], torch.ones_like(self.times, dtype=torch.bool))


@dataclass(frozen=True)
class OscillationData:
    """How many oscillations, and how they are seen."""

    series: int = 2000
    """Training series; 400 more are for the test."""
    times: int = 30
    """Of a series, uniform on its duration."""
    duration: float = 5.0
    """In which the fastest swing 2.4 times and the slowest 0.8 times."""
    noise: float = 0.05
    """Standard deviation of an observation; amplitudes are about 1."""
    pixels: int = 0
    """Of a line along which the place is drawn as a ball, a film of it; at 0 the place itself is observed."""
    horizon: float = 0.7
    """The share of the duration that is seen of test series; what comes after is extrapolation."""

    def check(self) -> None:
        """Raises an InputError for what cannot work."""
        for name, least in (("series", 2), ("times", 2)):
            if getattr(self, name) < least:
                raise InputError(f"expected --{name} of at least {least}, got {getattr(self, name)}")
        if not self.duration > 0 or not self.noise >= 0:
            raise InputError(
                f"expected a positive --duration and a --noise of at least 0, got {self.duration} and {self.noise}"
            )
        if self.pixels < 0:
            raise InputError(f"expected --pixels of at least 0, got {self.pixels}")
        if not 0 < self.horizon < 1:
            raise InputError(f"expected --horizon in (0, 1), a share of the duration, got {self.horizon}")

    def load(self, seed: int) -> tuple[Series, Asked]:
        """Training series, every time observed; test series, of which a random share before the horizon is seen."""
        train_key, test_key, mask_key = keys.fold_in(keys.key(seed), 3), keys.key(TEST), keys.key(TEST + 1)
        train, test = self._drawn(train_key, self.series), self._drawn(test_key, 400)
        before = test.times < self.horizon * self.duration
        seen = irregular(mask_key, test).mask & before
        return train, Asked(test, seen, {"interpolation": before & ~seen, "extrapolation": ~before})

    def _drawn(self, key: Key, n: int) -> Series:
        found = oscillations(key, n, self.times, self.duration, self.noise)
        return film(keys.fold_in(key, 1), found, self.pixels) if self.pixels else found.series()


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


def film(key: Key, found: Oscillations, pixels: int) -> Series:
    """A ball of width 0.4 that oscillates along a line of pixels from -1.5 to 1.5, seen through noise: (n, m, pixels).

    After the moving ball of Pearce (2020): between two frames every pixel may be dark that was bright in between.
    """
    places = state(found.parameters, found.times)[..., :1]
    shown = torch.exp(-0.5 * ((torch.linspace(-1.5, 1.5, pixels) - places) / 0.2).square())
    values = shown + found.noise * keys.normal(key, (1, *shown.shape))[0]
    return Series(found.times, values, torch.ones_like(found.times, dtype=torch.bool))

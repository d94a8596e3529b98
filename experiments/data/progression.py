"""Subjects measured at visits while a condition progresses: known stages, of which each marker shows a part.

    stage(t) starts anywhere, and grows between visits by speed * elapsed * Gamma(2, 2): never back, in uneven bursts
    marker_c = 1 / (1 + exp(-2 (stage - threshold_c))) + noise

with a speed of each subject's own, as in models of disease progression (Jedynak et al., 2012).
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from jensen.core import keys
from jensen.core.contracts import Key
from jensen.core.models.latent.series import Series
from jensen.experiments.data.irregular import Asked, irregular
from jensen.experiments.run.errors import InputError

TEST = 11  # the seed of test subjects in every run, so that runs compare
THRESHOLDS = (-1.5, 0.0, 1.5)  # stages at which a marker is at half of its range
START, SPEED, ELAPSED = (-3.0, 0.0), (0.2, 1.0), (0.5, 1.5)  # in stages, in stages and in years a year


@dataclass(frozen=True)
class ProgressionData:
    """How many subjects, and how they are seen."""

    subjects: int = 2000
    """Training subjects; 400 more are for the test."""
    visits: int = 8
    """Of a subject, of whom some are missed."""
    noise: float = 0.05
    """Standard deviation of a measurement; markers are from 0 to 1."""

    def check(self) -> None:
        """Raises an InputError for what cannot work."""
        for name, least in (("subjects", 2), ("visits", 3)):
            if getattr(self, name) < least:
                raise InputError(f"expected --{name} of at least {least}, got {getattr(self, name)}")
        if not self.noise >= 0:
            raise InputError(f"expected --noise of at least 0, got {self.noise}")

    def load(self, seed: int) -> tuple[Series, Asked]:
        """Training subjects, a quarter of whose visits are missed; test subjects, asked for the visit after some."""
        train_key, test_key = keys.fold_in(keys.key(seed), 3), keys.key(TEST)
        train, _ = progression(train_key, self.subjects, self.visits, self.noise)
        test, _ = progression(test_key, 400, self.visits, self.noise)
        train, test = (irregular(keys.fold_in(key, 9), x, 0.5) for key, x in ((train_key, train), (test_key, test)))
        last = 2 + keys.bits(keys.fold_in(test_key, 8), (1, len(test.times)))[0] % (self.visits - 2)
        place = torch.arange(self.visits)
        seen, after = test.mask & (place < last[:, None]), test.mask & (place >= last[:, None])
        asked = {"next visit": after & (after.cumsum(-1) == 1), "later visits": after & (after.cumsum(-1) > 1)}
        return train, Asked(test, seen, asked)


def progression(key: Key, n: int, visits: int, noise: float) -> tuple[Series, Tensor]:
    """n subjects at all of their visits, in years since the first, and their stages (n, visits)."""
    if n < 1 or visits < 2 or not noise >= 0:
        raise InputError(f"expected a subject, two visits and a noise of 0 or more, got {n}, {visits} and {noise}")
    time_key, subject_key, burst_key, noise_key = keys.split(key, 4)
    elapsed = _between(keys.uniform(time_key, (1, n, visits - 1))[0], ELAPSED)
    start, speed = keys.uniform(subject_key, (1, n, 2))[0].split(1, -1)
    u = 1 - keys.uniform(burst_key, (1, n, 2 * (visits - 1)))[0]
    bursts = -0.5 * u.log().unflatten(-1, (visits - 1, 2)).sum(-1)  # Gamma(2, 2), of mean 1
    growth = _between(speed, SPEED) * elapsed * bursts
    times, grown = (torch.cat([torch.zeros(n, 1), t.cumsum(-1)], -1) for t in (elapsed, growth))
    stages = _between(start, START) + grown
    markers = torch.sigmoid(2 * (stages[..., None] - torch.tensor(THRESHOLDS)))
    values = markers + noise * keys.normal(noise_key, (1, *markers.shape))[0]
    return Series(times, values, torch.ones(n, visits, dtype=torch.bool)), stages


def _between(u: Tensor, ends: tuple[float, float]) -> Tensor:
    return ends[0] + (ends[1] - ends[0]) * u

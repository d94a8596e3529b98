"""Tasks that differ in what their data are made of: sums of a sine and a cosine of a frequency of each task's own.

x = z1 cos(2 pi f t) + z2 sin(2 pi f t) + noise at fixed times t, with z ~ N(0, I): a `LinearNormal` for each task whose
weight is known, and so are the evidence and the posterior.
"""

from typing import NamedTuple

import torch
from torch import Tensor

from jensen.core import keys
from jensen.core.contracts import Key
from jensen.core.models.latent.linear_normal import LinearNormal
from jensen.core.trees import Tree
from jensen.experiments.run.errors import InputError

FREQUENCIES = (1.0, 4.0)  # cycles over the times, uniform
TIMES = 16


class Sinusoids(NamedTuple):
    """Tasks, an axis of T first: their models, and m data of each."""

    models: LinearNormal  # weight (T, D, 2), log_scale (T,)
    x: Tensor  # (T, m, D)
    frequency: Tensor  # (T,)

    def tree(self) -> Tree:
        """As programs train on them, a task to a datum."""
        return {"weight": self.models.weight, "log_scale": self.models.log_scale, "x": self.x}


def sinusoids(key: Key, tasks: int, m: int, noise: float = 1.0) -> Sinusoids:
    """So many tasks with m data each. InputError for sizes below 1 or a noise that is not positive."""
    if tasks < 1 or m < 1 or noise <= 0:
        raise InputError(f"expected tasks and data of each, and noise above 0, got {tasks}, {m} and {noise}")
    frequency_key, z_key, noise_key = keys.split(key, 3)
    low, high = FREQUENCIES
    frequency = low + (high - low) * keys.uniform(frequency_key, (tasks,))
    angle = 2 * torch.pi * frequency[:, None] * torch.linspace(0, 1, TIMES)
    weight = torch.stack([angle.cos(), angle.sin()], -1)
    x = keys.normal(z_key, (tasks, m, 2)) @ weight.mT + noise * keys.normal(noise_key, (tasks, m, TIMES))
    return Sinusoids(LinearNormal(weight, torch.full((tasks,), noise).log()), x, frequency)

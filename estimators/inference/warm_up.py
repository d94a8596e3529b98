"""What chains learn before their draws count: a size of steps, a length of trajectories and a metric, over windows.

The settings of a window are found in it; at its end the metric becomes the covariance of its draws, and sizes and
lengths are found anew. The last window keeps its metric.
"""

import math
from typing import NamedTuple, get_args

import torch
from jaxtyping import Float
from torch import Tensor

from jensen.estimators.evidence.moves import Metric
from jensen.estimators.evidence.tuning import Covariance

METRICS = get_args(Metric)
SHARES = (0.1, 0.1, 0.2, 0.3, 0.3)  # of the warm-up's steps
SHRINKAGE, DELAY, FORGETTING = 0.05, 10.0, 0.75  # of dual averaging: gamma, t0 and kappa of Hoffman and Gelman
RATE, DECAY = 0.05, 0.95  # of Adam, without momentum


class DualAverage(NamedTuple):
    """Nesterov's dual averaging of log sizes towards an acceptance (Hoffman and Gelman, 2014, section 3.2)."""

    log_size: Float[Tensor, ""]
    log_average: Float[Tensor, ""]
    centre: Float[Tensor, ""]
    excess: Float[Tensor, ""]  # target less acceptance, summed
    steps: int

    @classmethod
    def start(cls, size: Float[Tensor, ""]) -> "DualAverage":
        zero = torch.zeros_like(size)
        return cls(size.log(), zero, (10 * size).log(), zero, 0)

    @property
    def size(self) -> Float[Tensor, ""]:
        return self.log_size.exp()

    @property
    def average(self) -> Float[Tensor, ""]:
        return self.log_average.exp()

    def seen(self, accept: Float[Tensor, ""], target: float) -> "DualAverage":
        steps, excess = self.steps + 1, self.excess + target - accept
        log_size = self.centre - math.sqrt(steps) / (SHRINKAGE * (steps + DELAY)) * excess
        weight = steps**-FORGETTING
        average = weight * log_size + (1 - weight) * self.log_average
        return self._replace(log_size=log_size, log_average=average, excess=excess, steps=steps)


class Length(NamedTuple):
    """The length of trajectories, up a slope in its log by Adam."""

    log_length: Float[Tensor, ""]
    square: Float[Tensor, ""]
    total: Float[Tensor, ""]  # of the log lengths seen
    steps: int

    @classmethod
    def start(cls, length: Float[Tensor, ""]) -> "Length":
        zero = torch.zeros_like(length)
        return cls(length.log(), zero, zero, 0)

    @property
    def length(self) -> Float[Tensor, ""]:
        return self.log_length.exp()

    @property
    def average(self) -> Float[Tensor, ""]:
        return (self.total / self.steps).exp() if self.steps else self.length

    def seen(self, slope: Float[Tensor, ""]) -> "Length":
        slope = slope.nan_to_num(nan=0.0, posinf=0.0, neginf=0.0)
        square, steps = DECAY * self.square + (1 - DECAY) * slope.square(), self.steps + 1
        scale = torch.sqrt(square / (1 - DECAY**steps)).clamp_min(torch.finfo(slope.dtype).tiny)
        log_length = self.log_length + RATE * (slope / scale).clamp(-1, 1)
        return self._replace(log_length=log_length, square=square, total=self.total + log_length, steps=steps)


def harmonic_mean(accept: Float[Tensor, " m"]) -> Float[Tensor, ""]:
    """Of the chains' acceptances: near 0 where one is, so that sizes shrink until the chain that is stuck moves too."""
    return 1 / (1 / accept.clamp_min(torch.finfo(accept.dtype).tiny ** 0.5)).mean()


def at_least(accept: Float[Tensor, " m"], target: float) -> Float[Tensor, " m"]:
    """Acceptances of one update, each raised to what brings their harmonic mean to the target, all others being 1.

    A chain that stays stuck still shrinks the size. Without it an update in which one of m chains is rejected has a
    mean of 0, and there are 1 - target of them: fewer rejections of a chain the more chains there are, and, where a
    posterior has a narrow neck, steps of a fifth of the size and less.
    """
    return accept.clamp_min(1 / (1 + len(accept) * (1 / target - 1)))


def windows(steps: int) -> list[range]:
    """The places of each window's steps; of few steps the first windows are empty and left out."""
    ends = [round(steps * sum(SHARES[: i + 1])) for i in range(len(SHARES))]
    return [range(a, b) for a, b in zip([0, *ends], ends, strict=False) if b > a]


def factor_of(z: Float[Tensor, "t m d"], metric: Metric) -> Float[Tensor, "d *d"]:
    """A root of the draws' covariance: lower-triangular, or scales, 1 for a metric of "unit"."""
    if metric == "unit":
        return torch.ones_like(z[0, 0])
    flat = z.flatten(0, 1)
    return Covariance.of(flat[:, None], metric).factor(float(len(flat)))[0].to(z.dtype)

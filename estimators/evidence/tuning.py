"""Steps for moves along a path, found by a pilot run whose particles are then discarded.

Its steps are constants to the run that uses them, whose estimates stay unbiased and whose chains stay independent, as
they would not be if they adapted their own.
"""

import math
from typing import NamedTuple

import torch
from einops import einsum
from jaxtyping import Float
from torch import Tensor

from jensen.core import keys
from jensen.core.contracts import Key
from jensen.core.numerics import at_least_float32
from jensen.estimators.evidence.moves import Hamiltonian, Metric, Step
from jensen.estimators.evidence.paths import Geometric, Point

PILOT = 16  # chains per datum that find the step sizes and scales
DENSE = 64  # those that find a covariance
WARM = 20  # their moves at the first temperature, from a step of 0.1
FIRST = math.log(0.1)
MEMORY = 10.0  # draws per dimension that a running covariance averages over


class Covariance(NamedTuple):
    """A running mean and second moment about it of particles (n, d) and (n, d, d), or (n, d) for a diagonal metric."""

    mean: Tensor
    moment: Tensor

    @classmethod
    def of(cls, u: Float[Tensor, "s n *d"], metric: Metric) -> "Covariance":
        flat = at_least_float32(u).flatten(2)
        mean = flat.mean(0)
        apart = flat - mean
        if metric == "diagonal":
            return cls(mean, apart.square().mean(0))
        return cls(mean, einsum(apart, apart, "s n i, s n j -> n i j") / len(flat))

    def towards(self, new: "Covariance", rate: float) -> "Covariance":
        return Covariance(*((1 - rate) * old + rate * t for old, t in zip(self, new, strict=True)))

    def factor(self, size: float) -> Tensor:
        """The Cholesky factor, or the scales, of the moment shrunk towards its diagonal as `size` draws ask for."""
        if self.moment.ndim == 2:
            return self.moment.sqrt().clamp_min(_least(self.moment))
        variance = self.moment.diagonal(dim1=-2, dim2=-1).clamp_min(_least(self.moment) ** 2)
        d = self.moment.shape[-1]
        shrunk = self.moment * size**2 / (size**2 + d)  # little: a correlation of 0.999 must not become 0.9
        shrunk = shrunk - torch.diag_embed(shrunk.diagonal(dim1=-2, dim2=-1)) + torch.diag_embed(variance)
        return torch.linalg.cholesky_ex(shrunk).L


class Tuner(NamedTuple):
    """The step that a pilot has found so far."""

    log_size: Float[Tensor, " n"]
    covariance: Covariance | None
    size: float  # draws that the covariance averages over

    @classmethod
    def start(cls, point: Point, move: Hamiltonian) -> "Tuner":
        log_size = at_least_float32(point.log_p).new_full((point.u.shape[1],), FIRST)
        if move.metric == "unit":
            return cls(log_size, None, 0.0)
        return cls(log_size, Covariance.of(point.u, move.metric), float(len(point.u)))

    def step(self) -> Step:
        factor = None if self.covariance is None else self.covariance.factor(self.size)
        return Step(self.log_size.exp(), factor)

    def accepted(self, accept: Float[Tensor, "s n"], target: float, rate: float) -> "Tuner":
        """One step of Robbins and Monro: log size + rate (acceptance - target), over the particles in the support.

        Without any, the size is unchanged.
        """
        change = rate * (accept.to(self.log_size.dtype).nanmean(0) - target).nan_to_num(nan=0.0)
        return self._replace(log_size=self.log_size + change)

    def seen(self, point: Point, metric: Metric) -> "Tuner":
        """The covariance moved towards that of particles at the present temperature."""
        if self.covariance is None:
            return self
        s, d = len(point.u), math.prod(point.u.shape[2:])
        rate = min(1.0, s / (MEMORY * d)) if metric == "dense" else 1.0
        return self._replace(
            covariance=self.covariance.towards(Covariance.of(point.u, metric), rate), size=max(s, MEMORY * d)
        )


def tune(path: Geometric, schedule: Tensor, move: Hamiltonian, key: Key) -> list[Step]:
    """The steps at temperatures schedule[1:-1], of `PILOT` chains with a key of their own."""
    if len(schedule) == 2:
        return []  # no move is made between 0 and 1
    start_key, warm_key, run_key = keys.split(key, 3)
    point = path.start(start_key, DENSE if move.metric == "dense" else PILOT)
    tuner = Tuner.start(point, move)
    for i in range(WARM):
        point, accept = move(path, point, schedule[1], tuner.step(), keys.fold_in(warm_key, i))
        tuner = tuner.accepted(accept, move.target, 2 / math.sqrt(1 + i))
    steps, each = [], -(-WARM // len(schedule))
    for i, beta in enumerate(schedule[1:-1]):
        for j in range(each):
            point, accept = move(path, point, beta, tuner.step(), keys.fold_in(run_key, i * each + j))
            tuner = tuner.accepted(accept, move.target, 0.6)
        tuner = tuner.seen(point, move.metric)
        steps.append(tuner.step())
    return steps


def _least(t: Tensor) -> float:
    """A scale below which particles agree in a component."""
    return math.sqrt(torch.finfo(t.dtype).tiny)

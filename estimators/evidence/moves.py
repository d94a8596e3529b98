"""Hamiltonian and Langevin Monte Carlo: transitions that leave a tempered density invariant, and their step sizes.

Invariant     f_beta of `paths`, at any step size, by a Metropolis correction of leapfrog steps; the transition is
              reversible, since its jitter comes from the key and never from the particle
Tuned by      Robbins and Monro steps of a pilot run towards a given acceptance: `tune`, `adapted`
Cost          `leapfrog` gradients of log_p and of q per move and particle
Reference     Duane et al., 1987; Roberts and Tweedie, 1996 (MALA, one leapfrog step); Neal, 2011
"""

import math
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from jensen.core import keys
from jensen.core.contracts import Key
from jensen.core.numerics import at_least_float32
from jensen.estimators.evidence.paths import Geometric, Point
from jensen.estimators.gradients.contract import event_sum, over_events

PILOT = 16  # chains per datum that find the step sizes
WARM = 20  # their moves at the first temperature, from a step of 0.1
FIRST = math.log(0.1)


class Hamiltonian(NamedTuple):
    """Hamiltonian Monte Carlo with a new momentum for each move.

    A trajectory that leaves the support, overflows or has a density of NaN is rejected.
    """

    leapfrog: int = 5
    target: float = 0.7  # the acceptance that step sizes are tuned to
    scale: Float[Tensor, "*n d"] | None = None  # steps per dimension in units of these, such as q's scales
    jitter: float = 0.5  # each step is the tuned one times a uniform number in 1 ± jitter, against periodic orbits

    def __call__(
        self, path: Geometric, point: Point, beta: Tensor, step: Tensor, key: Key
    ) -> tuple[Point, Float[Tensor, "s n"]]:
        """(the particles moved at beta, their acceptance probabilities (s, n)); step is (n,) or (s, n).

        The probability is NaN for a particle outside the support, which accepts any point inside.
        """
        momentum_key, accept_key, jitter_key = keys.split(key, 3)
        z, dtype = point.z, at_least_float32(point.z).dtype
        momentum = keys.normal(momentum_key, tuple(z.shape), dtype)
        step = step * (1 + self.jitter * (2 * keys.uniform(jitter_key, tuple(point.log_p.shape), dtype) - 1))
        stride = over_events(step, z) * (1 if self.scale is None else self.scale)
        proposal, end = self.trajectory(path, point, momentum, beta, stride.to(dtype))
        kinetic = event_sum(momentum.square() - end.square()) / 2
        log_density = point.log_density(beta)
        log_accept = proposal.log_density(beta) - log_density + kinetic
        u = keys.uniform(accept_key, tuple(point.log_p.shape), dtype)
        moved = torch.log(u) < log_accept  # never where it is NaN
        after = Point(
            *(torch.where(over_events(moved, new), new, old) for new, old in zip(proposal, point, strict=True))
        )
        accept = torch.exp(log_accept.clamp_max(0)).nan_to_num(nan=0.0)
        return after, torch.where(log_density.isfinite(), accept, torch.nan)

    def trajectory(
        self, path: Geometric, point: Point, momentum: Tensor, beta: Tensor, stride: Tensor
    ) -> tuple[Point, Tensor]:
        """The point and the momentum after `leapfrog` steps, volume-preserving and reversible."""
        momentum = momentum + stride * point.slope(beta) / 2
        for i in range(self.leapfrog):
            point = path.at((point.z + stride * momentum).to(point.z.dtype))
            momentum = momentum + stride * point.slope(beta) / (2 if i == self.leapfrog - 1 else 1)
        return point, momentum


hmc = Hamiltonian()
langevin = Hamiltonian(leapfrog=1, target=0.574, jitter=0.0)


def adapted(
    log_step: Float[Tensor, " n"], accept: Float[Tensor, "s n"], target: float, rate: float
) -> Float[Tensor, " n"]:
    """One step of Robbins and Monro: log step + rate (acceptance - target), over the particles in the support.

    Without any, the step is unchanged.
    """
    return log_step + rate * (accept.to(log_step.dtype).nanmean(0) - target).nan_to_num(nan=0.0)


def tune(path: Geometric, schedule: Tensor, move: Hamiltonian, key: Key) -> Float[Tensor, "t n"]:
    """Step sizes per temperature schedule[1:-1] and datum, (t, n), from a run of `PILOT` chains with its own key.

    The pilot's particles are discarded: its steps are constants to the run that uses them, whose estimates stay
    unbiased and whose chains stay independent, as they would not be if it adapted its own steps.
    """
    if len(schedule) == 2:
        return schedule.new_empty(0, 0)  # no move is made between 0 and 1
    start_key, warm_key, run_key = keys.split(key, 3)
    point = path.start(start_key, PILOT)
    log_step = at_least_float32(point.log_p).new_full((point.z.shape[1],), FIRST)
    for i in range(WARM):
        point, accept = move(path, point, schedule[1], log_step.exp(), keys.fold_in(warm_key, i))
        log_step = adapted(log_step, accept, move.target, 2 / math.sqrt(1 + i))
    steps, each = [], -(-WARM // len(schedule))
    for i, beta in enumerate(schedule[1:-1]):
        for j in range(each):
            point, accept = move(path, point, beta, log_step.exp(), keys.fold_in(run_key, i * each + j))
            log_step = adapted(log_step, accept, move.target, 0.6)
        steps.append(log_step.exp())
    return torch.stack(steps)

"""Hamiltonian and Langevin Monte Carlo: transitions that leave a tempered density invariant, and their step sizes.

Invariant     f_beta of `paths`, at any step, by a Metropolis correction of leapfrog steps; the transition is
              reversible, since its jitter comes from the key and never from the particle
Tuned by      Robbins and Monro steps of a pilot run towards a given acceptance, and for an adapted metric the
              covariance of the pilot's particles at each temperature: `Tuner`
Cost          `leapfrog` gradients of log_p and of q per move and particle; for a dense metric two products of (d, d)
              more, and (n, d, d) numbers in memory for each temperature
Reference     Duane et al., 1987; Roberts and Tweedie, 1996 (MALA, one leapfrog step); Neal, 2011
"""

from typing import Literal, NamedTuple, get_args

import torch
from einops import einsum
from jaxtyping import Float
from torch import Tensor

from jensen.core import keys
from jensen.core.checks import check_choice, check_count, check_number, described
from jensen.core.contracts import Key
from jensen.core.numerics import at_least_float32
from jensen.estimators.evidence.paths import Geometric, Point
from jensen.estimators.gradients.contract import event_sum, over_events

Metric = Literal["unit", "diagonal", "dense"]


class Step(NamedTuple):
    """The size of leapfrog steps (n,), in units of a factor of the posterior's covariance: None for the unit matrix."""

    size: Float[Tensor, " n"]
    factor: Float[Tensor, "n d d"] | Float[Tensor, "n d"] | None = None

    def along(self, momentum: Tensor) -> Tensor:
        """factor momentum: a step of u."""
        return self._times(momentum, "n i j, s n j -> s n i")

    def across(self, slope: Tensor) -> Tensor:
        """factor' slope: a change of the momentum."""
        return self._times(slope, "n j i, s n j -> s n i")

    def _times(self, t: Tensor, product: str) -> Tensor:
        if self.factor is None:
            return t
        flat = t.flatten(2)
        moved = self.factor * flat if self.factor.ndim == 2 else einsum(self.factor, flat, product)
        return moved.reshape(t.shape)


class Hamiltonian(NamedTuple):
    """Hamiltonian Monte Carlo with a new momentum for each move.

    A trajectory that leaves the support, overflows or has a density of NaN is rejected. With a metric of "diagonal" or
    "dense" the steps follow the scales, or the whole covariance, of the particles at each temperature.
    """

    leapfrog: int = 5
    target: float = 0.7  # the acceptance that step sizes are tuned to
    metric: Metric = "unit"
    jitter: float = 0.5  # each step is the tuned one times a uniform number in 1 ± jitter, against periodic orbits

    def __call__(
        self, path: Geometric, point: Point, beta: Tensor, step: Step, key: Key
    ) -> tuple[Point, Float[Tensor, "s n"]]:
        """(the particles moved at beta, their acceptance probabilities (s, n)).

        The probability is NaN for a particle outside the support, which accepts any point inside.
        """
        momentum_key, accept_key, jitter_key = keys.split(key, 3)
        dtype = at_least_float32(point.u).dtype
        momentum = keys.normal(momentum_key, tuple(point.u.shape), dtype)
        jitter = 1 + self.jitter * (2 * keys.uniform(jitter_key, tuple(point.log_p.shape), dtype) - 1)
        size = over_events(step.size * jitter, point.u).to(dtype)
        proposal, end = self.trajectory(path, point, momentum, beta, size, step)
        kinetic = event_sum(momentum.square() - end.square()) / 2
        log_density = point.log_density(beta)
        log_accept = proposal.log_density(beta) - log_density + kinetic
        uniform = keys.uniform(accept_key, tuple(point.log_p.shape), dtype)
        moved = torch.log(uniform) < log_accept  # never where it is NaN
        after = Point(
            *(torch.where(over_events(moved, new), new, old) for new, old in zip(proposal, point, strict=True))
        )
        accept = torch.exp(log_accept.clamp_max(0)).nan_to_num(nan=0.0)
        return after, torch.where(log_density.isfinite(), accept, torch.nan)

    def trajectory(
        self, path: Geometric, point: Point, momentum: Tensor, beta: Tensor, size: Tensor, step: Step
    ) -> tuple[Point, Tensor]:
        """The point and the momentum after `leapfrog` steps, volume-preserving and reversible."""
        momentum = momentum + size * step.across(point.slope(beta)) / 2
        for i in range(self.leapfrog):
            point = path.at((point.u + size * step.along(momentum)).to(point.u.dtype))
            momentum = momentum + size * step.across(point.slope(beta)) / (2 if i == self.leapfrog - 1 else 1)
        return point, momentum


hmc = Hamiltonian()
langevin = Hamiltonian(leapfrog=1, target=0.574, jitter=0.0)


def check_move(move: Hamiltonian) -> None:
    """TypeError for what is no move, such as its name; ValueError for settings out of their range."""
    if not isinstance(move, Hamiltonian):
        raise TypeError(f"expected move, a Hamiltonian, got {described(move)}: pass hmc, langevin or another")
    check_count("move.leapfrog", move.leapfrog)
    check_number("move.target", move.target, "(0, 1)", "acceptances of 0.6 to 0.9 suit most posteriors")
    check_choice("move.metric", move.metric, get_args(Metric))
    check_number("move.jitter", move.jitter, "[0, 1)", "0 takes steps of one size")

"""Constraints in place of weights: a reconstruction to reach (GECO), a KL that cannot vanish (delta-VAE)."""

import math
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

from jensen.core.distributions import DiagNormal
from jensen.core.objectives.weighted import Terms, check_terms
from jensen.core.ops import bounded
from jensen.core.ops.log_scale import at_least_float32


class Geco(NamedTuple):
    """Least KL subject to E_q log p(x | z) >= target, with a Lagrange multiplier as a state (Rezende and Viola, 2018).

        geco = Geco.start(x)
        terms = geco(reconstruction, kl, target)             # maximise terms.objective.mean()
        geco = geco.update(reconstruction, target)

    The objective is -kl - multiplier (target - reconstruction). The multiplier grows by a factor while the constraint
    is broken and shrinks while it is kept: in the long run the reconstruction stands at the target.
    """

    log_multiplier: Float[Tensor, ""]
    average: Float[Tensor, ""]  # of target - reconstruction over steps, positive where broken
    weight: Float[Tensor, ""]  # of the steps seen: 0 at the start

    @classmethod
    def start(cls, like: Tensor) -> "Geco":
        """A multiplier of 1, and no steps seen; float32 at least, on the device of `like`."""
        zero = at_least_float32(like.new_zeros(()))
        return cls(zero, zero, zero)

    @property
    def multiplier(self) -> Float[Tensor, ""]:
        return torch.exp(self.log_multiplier)

    def __call__(self, reconstruction: Float[Tensor, " n"], kl: Float[Tensor, " n"], target: float | Tensor) -> Terms:
        """The objective and its terms, (n,) each, in nats per datum; no gradient for the multiplier."""
        check_terms(reconstruction, kl)
        multiplier = self.multiplier.detach()
        reward = multiplier * (reconstruction - target)
        return Terms(reward - kl, reconstruction, -kl, reward - reconstruction)

    def update(
        self,
        reconstruction: Float[Tensor, " n"],
        target: float | Tensor,
        rate: float = 0.01,
        decay: float = 0.99,
        limit: float = 1e6,
    ) -> "Geco":
        """The state after a step: log multiplier += rate * the average violation, within ± log limit.

        The average over steps forgets with `decay`, and does not lean to its start.
        """
        violation = (target - reconstruction.detach()).mean()
        average = decay * self.average + (1 - decay) * violation
        weight = decay * self.weight + 1 - decay
        edge = math.log(limit)
        return Geco((self.log_multiplier + rate * average / weight).clamp(-edge, edge), average, weight)


def committed(q: DiagNormal, rate: float) -> DiagNormal:
    """q with scales so small that KL(q || N(0, 1)) is at least `rate` nats in every dimension, whatever its mean.

    log_scale -> edge - softplus(edge - log_scale), where edge < 0 solves -edge + (e^(2 edge) - 1) / 2 = rate: scales
    of q far below stay, larger ones approach the edge, and a gradient is left everywhere. This is the delta-VAE's
    committed rate (Razavi et al., 2019), d times `rate`, for a standard normal prior: it cannot collapse to less.
    Theirs for sequences is an autoregressive prior. ValueError for a rate outside [0, 19]: scales end at e^-20.
    """
    if not 0 <= rate <= 19:
        raise ValueError(f"expected a rate of 0 to 19 nats per dimension, got {rate}")
    edge = _log_scale_at(rate)
    return DiagNormal(at_least_float32(q.loc), edge - F.softplus(edge - bounded(q.log_scale)))


def _log_scale_at(rate: float) -> float:
    """The t <= 0 with -t + (e^(2 t) - 1) / 2 = rate, by bisection of [-rate - 1/2, 0], on the safe side."""
    low, high = -rate - 0.5, 0.0
    for _ in range(60):
        middle = (low + high) / 2
        enough = -middle + math.expm1(2 * middle) / 2 >= rate
        low, high = (middle, high) if enough else (low, middle)
    return low

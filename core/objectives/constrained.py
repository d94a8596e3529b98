"""Constraints in place of weights: a reconstruction to reach (GECO), a KL that cannot vanish (delta-VAE)."""

import math
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

from jensen.core.distributions import DiagNormal
from jensen.core.objectives.weighted import Terms, check_scalar, checked
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
        reconstruction, kl = checked(reconstruction, kl)
        check_scalar("target", target, len(kl))
        reward = self.multiplier.detach() * (reconstruction - target)
        penalty = torch.where(reward == reconstruction, 0.0, reward - reconstruction)  # infinite, too
        return Terms(reward - kl, reconstruction, -kl, penalty)

    def update(
        self,
        reconstruction: Float[Tensor, " n"],
        target: float | Tensor,
        rate: float = 0.01,
        decay: float = 0.99,
        limit: float = 1e6,
    ) -> "Geco":
        """The state after a step: log multiplier += rate * the average violation, within ± log limit.

        The average over steps forgets with `decay`, and does not lean to its start. A step whose violation is infinite
        leaves the state as it is: the average would never forget it. ValueError for no data, or unless
        0 <= decay < 1 and limit >= 1.
        """
        (reconstruction,) = checked(reconstruction)
        check_scalar("target", target, len(reconstruction))
        if not len(reconstruction):
            raise ValueError("expected a reconstruction (n,) with n >= 1, got (0,): leave out a step without data")
        if not (0 <= decay < 1 and limit >= 1):
            raise ValueError(
                f"expected 0 <= decay < 1 and limit >= 1, got {decay} and {limit}: the average must take steps in, "
                "and the multiplier have room on either side of 1"
            )
        violation = (target - reconstruction.detach()).mean().to(self.average.dtype)
        average = decay * self.average + (1 - decay) * violation
        weight = decay * self.weight + 1 - decay
        edge = math.log(limit)
        moved = Geco((self.log_multiplier + rate * average / weight).clamp(-edge, edge), average, weight)
        endless = violation.abs() == torch.inf
        return Geco(*(torch.where(endless, old, new) for old, new in zip(self, moved, strict=True)))


def committed(q: DiagNormal, rate: float) -> DiagNormal:
    """q with scales so small that KL(q || N(0, 1)) is at least `rate` nats in every dimension, whatever its mean.

    log_scale -> edge - softplus(edge - log_scale), where edge < 0 solves -edge + (e^(2 edge) - 1) / 2 = rate: scales
    of q far below stay, larger ones approach the edge, and a gradient is left everywhere. This is the delta-VAE's
    committed rate (Razavi et al., 2019), d times `rate`, for a standard normal prior: it cannot collapse to less.
    Theirs for sequences is an autoregressive prior. Half precision is computed and returned in float32. ValueError for
    a rate outside [0, 19]: scales end at e^-20.
    """
    if not 0 <= rate <= 19:
        raise ValueError(f"expected a rate of 0 to 19 nats per dimension, got {rate}")
    edge, log_scale = _log_scale_at(rate), bounded(at_least_float32(q.log_scale))  # float16 ends before the edge
    return DiagNormal(at_least_float32(q.loc), edge - F.softplus(edge - log_scale))


def _log_scale_at(rate: float) -> float:
    """The t <= 0 with -t + (e^(2 t) - 1) / 2 = rate, by bisection of [-rate - 1/2, 0], on the safe side."""
    low, high = -rate - 0.5, 0.0
    for _ in range(60):
        middle = (low + high) / 2
        enough = -middle + math.expm1(2 * middle) / 2 >= rate
        low, high = (middle, high) if enough else (low, middle)
    return low

"""Constrained objectives: a least reconstruction (GECO), a least KL (delta-VAE)."""

import math
from typing import NamedTuple, Protocol, runtime_checkable

import torch
from jaxtyping import Float
from torch import Tensor

from jensen.core.checks import check_distribution, check_floating, check_number, described
from jensen.core.contracts import Distribution, can
from jensen.core.numerics import at_least_float32
from jensen.core.objectives.terms import Terms, check_scalar, checked, scaled


class Multiplier(NamedTuple):
    """The Lagrange multiplier of `geco`, a state updated at each step.

    multiplier = Multiplier.start(x)
    terms = geco(reconstruction, kl, multiplier, target)    # maximise terms.objective.mean()
    multiplier = multiplier.update(reconstruction, target)
    """

    log: Float[Tensor, ""]
    average: Float[Tensor, ""]  # of target - reconstruction over steps, positive where the constraint is broken
    weight: Float[Tensor, ""]  # of the steps seen: 0 at the start

    @classmethod
    def start(cls, like: Tensor) -> "Multiplier":
        """A multiplier of 1, and no steps seen; float32 at least, on the device of `like`."""
        check_floating("like", like)
        zero = at_least_float32(like.new_zeros(()))
        return cls(zero, zero, zero)

    @property
    def value(self) -> Float[Tensor, ""]:
        return torch.exp(self.log)

    def update(
        self,
        reconstruction: Float[Tensor, " n"],
        target: float | Tensor,
        rate: float = 0.01,
        decay: float = 0.99,
        limit: float = 1e6,
    ) -> "Multiplier":
        """The state after a step: log multiplier += rate * the average violation, within ± log limit.

        The average is exponential, of rate `decay`, with the bias of its start corrected. A step of infinite violation
        leaves the state unchanged, as the average would stay infinite. ValueError for no data, or unless 0 <= decay < 1
        and limit >= 1.
        """
        (reconstruction,) = checked(reconstruction=reconstruction)
        check_scalar("target", target, len(reconstruction))
        if not len(reconstruction):
            raise ValueError("expected a reconstruction (n,) with n >= 1, got (0,): leave out a step without data")
        rate = check_number("rate", rate, "[0, inf)")
        decay = check_number("decay", decay, "[0, 1)", "at 1 no step would change the average")
        limit = check_number("limit", limit, "[1, inf)", "the multiplier lies between 1 / limit and limit")
        violation = (target - reconstruction.detach()).mean().to(self.average.dtype)
        average = decay * self.average + (1 - decay) * violation
        weight = decay * self.weight + 1 - decay
        edge = math.log(limit)
        moved = Multiplier((self.log + rate * average / weight).clamp(-edge, edge), average, weight)
        infinite = violation.abs() == torch.inf
        return Multiplier(*(torch.where(infinite, old, new) for old, new in zip(self, moved, strict=True)))


def geco(
    reconstruction: Float[Tensor, " n"],
    kl: Float[Tensor, " n"],
    multiplier: Multiplier,
    target: float | Tensor,
    weight: float | Tensor = 1.0,
) -> Terms:
    """multiplier (reconstruction - target) - weight kl: least KL subject to reconstruction >= target, in nats.

    GECO (Rezende and Viola, 2018). The multiplier, which has no gradient, grows by a factor while the constraint is
    violated and shrinks while it holds, so that the reconstruction tends to the target.
    """
    reconstruction, kl = checked(reconstruction=reconstruction, kl=kl)
    if not isinstance(multiplier, Multiplier):
        raise TypeError(
            f"expected multiplier, a Multiplier, got {described(multiplier)}: begin with Multiplier.start(x)"
        )
    check_scalar("target", target, len(kl))
    check_scalar("weight", weight, len(kl), 0.0)
    reward, charge = multiplier.value.detach() * (reconstruction - target), scaled(weight, kl)
    gained = torch.where(reward == reconstruction, 0.0, reward - reconstruction)  # infinite, too
    penalty = torch.where(charge == kl, 0.0, charge - kl) - gained
    return Terms(reward - charge, reconstruction, kl, penalty, {})


@runtime_checkable
class Committable(Distribution, Protocol):
    """A family whose KL to the standard normal can be bounded from below."""

    def committed(self, rate: float, /) -> "Committable": ...


def committed(q: Distribution, rate: float) -> Committable:
    """q with scales so small that KL(q || N(0, 1)) is at least `rate` nats in every dimension, whatever its mean.

    The delta-VAE's committed rate (Razavi et al., 2019), d times `rate`, for a standard normal prior: the KL cannot
    collapse to less. Theirs for sequences is an autoregressive prior. See `DiagNormal.committed`. ValueError for a rate
    outside [0, 19]: scales end at e^-20. TypeError for another q.
    """
    check_distribution("q", q)
    check_rate(rate)
    if not can(q, Committable):
        raise TypeError(f"committed needs a diagonal normal q, got {type(q).__name__}: use free bits")
    return q.committed(rate)


def check_rate(rate: float) -> None:
    """ValueError for a rate that no scale reaches."""
    check_number("rate", rate, "[0, 19]", "nats per dimension, as scales end at e^-20")

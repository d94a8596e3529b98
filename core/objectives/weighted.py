"""The ELBO with its KL weighed, aimed at, or free up to a floor."""

from collections.abc import Sequence
from typing import NamedTuple

from jaxtyping import Float
from torch import Tensor

from jensen.core import bounds


class Terms(NamedTuple):
    """An objective to maximise, (n,), and the terms that it is the sum of, (n,) each, in nats per datum.

    reconstruction + kl is the ELBO, whatever the objective; `penalty` is what the objective adds to it. Take the
    gradient of `objective`: the terms are its report.
    """

    objective: Float[Tensor, " n"]
    reconstruction: Float[Tensor, " n"]  # E_q log p(x | z)
    kl: Float[Tensor, " n"]  # minus KL(q || prior)
    penalty: Float[Tensor, " n"]


class RateDistortion(NamedTuple):
    """A loss to minimise, (n,), and the terms that it is the sum of, (n,) each, in nats per datum."""

    loss: Float[Tensor, " n"]
    distortion: Float[Tensor, " n"]  # -E_q log p(x | z): nats to say x once z is known
    rate: Float[Tensor, " n"]  # KL(q || prior): nats to say z


def beta(reconstruction: Float[Tensor, " n"], kl: Float[Tensor, " n"], weight: float | Tensor) -> Terms:
    """reconstruction - weight kl, the beta-VAE (Higgins et al., 2017); weight = 1 is the ELBO.

    A lower bound on log p(x) for weight >= 1. A warm-up or a cycle of the weight is a schedule:
    `experiments.schedules`.
    """
    check_terms(reconstruction, kl)
    return Terms(reconstruction - weight * kl, reconstruction, -kl, (1 - weight) * kl)


def capacity(
    reconstruction: Float[Tensor, " n"], kl: Float[Tensor, " n"], weight: float | Tensor, target: float | Tensor
) -> Terms:
    """reconstruction - weight |kl - target|, for a target in nats that grows in training (Burgess et al., 2018).

    A lower bound on log p(x) only where weight |kl - target| >= kl.
    """
    check_terms(reconstruction, kl)
    charge = weight * (kl - target).abs()
    return Terms(reconstruction - charge, reconstruction, -kl, kl - charge)


def free_bits(
    reconstruction: Float[Tensor, " n"],
    kl: Float[Tensor, "n d"],
    floor: float | Tensor,
    groups: Sequence[int] | None = None,
) -> Terms:
    """reconstruction - bounds.free_bits(kl, floor, groups), a KL per dimension in, (n, d) (Kingma et al., 2016).

    Its mean over the data is a lower bound on that of log p(x): no group is charged less than its KL.
    """
    charge, whole = bounds.free_bits(kl, floor, groups), kl.sum(-1)
    check_terms(reconstruction, whole)
    return Terms(reconstruction - charge, reconstruction, -whole, whole - charge)


def rate_distortion(
    reconstruction: Float[Tensor, " n"], kl: Float[Tensor, " n"], weight: float | Tensor = 1.0
) -> RateDistortion:
    """loss = distortion + weight rate, whose minima trace the rate-distortion curve (Alemi et al., 2018).

    The returned rate carries its weight; for weight = 1 the loss is minus the ELBO. `decompose` splits the rate
    further, into index-code information and the aggregated posterior's KL.
    """
    check_terms(reconstruction, kl)
    return RateDistortion(weight * kl - reconstruction, -reconstruction, weight * kl)


def check_terms(reconstruction: Tensor, kl: Tensor) -> None:
    if reconstruction.ndim != 1 or reconstruction.shape != kl.shape:
        raise ValueError(
            f"expected a reconstruction and a KL (n,), got {tuple(reconstruction.shape)} and {tuple(kl.shape)}: "
            "average over samples and sum over dimensions, and over no data"
        )

"""The ELBO with its KL weighed, aimed at, or free up to a floor.

A weight or a target is a float or a tensor, () or (n,). ValueError for other shapes, and for a float that is not finite
or, as a weight, negative. Half precision is computed and returned in float32.
"""

import math
from collections.abc import Sequence
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from jensen.core import bounds
from jensen.core.ops.log_scale import at_least_float32


class Terms(NamedTuple):
    """An objective to maximise, (n,), and the terms that it is the sum of, (n,) each, in nats per datum.

    reconstruction + kl is the ELBO, whatever the objective; `penalty` is what the objective adds to it, and 0 where
    one infinite term makes both -inf. Take the gradient of `objective`: the terms are its report.
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
    reconstruction, kl = checked(reconstruction, kl)
    check_scalar("weight", weight, len(kl), 0.0)
    return _charged(reconstruction, kl, weighed(weight, kl))


def capacity(
    reconstruction: Float[Tensor, " n"], kl: Float[Tensor, " n"], weight: float | Tensor, target: float | Tensor
) -> Terms:
    """reconstruction - weight |kl - target|, for a target in nats that grows in training (Burgess et al., 2018).

    A lower bound on log p(x) only where weight |kl - target| >= kl.
    """
    reconstruction, kl = checked(reconstruction, kl)
    check_scalar("weight", weight, len(kl), 0.0)
    check_scalar("target", target, len(kl))
    return _charged(reconstruction, kl, weighed(weight, (kl - target).abs()))


def free_bits(
    reconstruction: Float[Tensor, " n"],
    kl: Float[Tensor, "n d"],
    floor: float | Tensor,
    groups: Sequence[int] | None = None,
) -> Terms:
    """reconstruction - bounds.free_bits(kl, floor, groups), a KL per dimension in, (n, d) (Kingma et al., 2016).

    Its mean over the data is a lower bound on that of log p(x): no group is charged less than its KL.
    """
    charge = bounds.free_bits(kl, floor, groups)
    reconstruction, whole = checked(reconstruction, at_least_float32(kl).sum(-1))
    return _charged(reconstruction, whole, charge)


def rate_distortion(
    reconstruction: Float[Tensor, " n"], kl: Float[Tensor, " n"], weight: float | Tensor = 1.0
) -> RateDistortion:
    """loss = distortion + weight rate, whose minima trace the rate-distortion curve (Alemi et al., 2018).

    The returned rate carries its weight; for weight = 1 the loss is minus the ELBO. `decompose` splits the rate
    further, into index-code information and the aggregated posterior's KL.
    """
    reconstruction, kl = checked(reconstruction, kl)
    check_scalar("weight", weight, len(kl), 0.0)
    rate = weighed(weight, kl)
    return RateDistortion(rate - reconstruction, -reconstruction, rate)


def _charged(reconstruction: Tensor, kl: Tensor, charge: Tensor) -> Terms:
    """The terms of an objective with a charge in place of the KL."""
    penalty = torch.where(kl == charge, 0.0, kl - charge)  # infinite, too
    return Terms(reconstruction - charge, reconstruction, -kl, penalty)


def weighed(weight: float | Tensor, t: Tensor) -> Tensor:
    """weight t, where a weight of 0 takes away even what is infinite."""
    gone = (t.abs() == torch.inf) & (weight == 0)
    return weight * torch.where(gone, 0.0, t)


def checked(*terms: Tensor) -> tuple[Tensor, ...]:
    """The terms, a reconstruction and KLs (n,), in float32 at least."""
    if any(t.ndim != 1 or t.shape != terms[0].shape for t in terms):
        raise ValueError(
            f"expected a reconstruction and a KL (n,), got {' and '.join(str(tuple(t.shape)) for t in terms)}: "
            "average over samples and sum over dimensions, and over no data"
        )
    return tuple(at_least_float32(t) for t in terms)


def check_scalar(name: str, value: float | Tensor, n: int, least: float = -math.inf) -> None:
    if isinstance(value, Tensor):
        if value.shape not in ((), (n,)):
            raise ValueError(f"expected a {name} () or ({n},), one per datum, got {tuple(value.shape)}: flatten it")
    elif not (-math.inf < value < math.inf and value >= least):
        raise ValueError(f"expected a finite {name}{' >= 0' if least == 0 else ''}, got {value}")

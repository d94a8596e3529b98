"""The terms that every objective sums, and the checks of their arguments.

A weight or a target is a float or a tensor, () or (n,). ValueError for other shapes, and for a float that is not finite
or, as a weight, negative. Half precision is computed and returned in float32.
"""

import math
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from jensen.core.numerics import at_least_float32


class Terms(NamedTuple):
    """objective = reconstruction - kl - penalty, to be maximised: (n,) each, in nats per datum.

    reconstruction - kl is the ELBO for every objective, and `penalty` the rest, 0 where an infinite term makes both
    -inf. `parts`, where there are any, sum to kl. Differentiate `objective`; the other terms are to be reported.
    """

    objective: Float[Tensor, " n"]
    reconstruction: Float[Tensor, " n"]  # E_q log p(x | z)
    kl: Float[Tensor, " n"]  # KL(q || prior) >= 0; where it has no closed form, an estimate
    penalty: Float[Tensor, " n"]
    parts: dict[str, Float[Tensor, " n"]]

    @property
    def elbo(self) -> Float[Tensor, " n"]:
        return self.reconstruction - self.kl


def charged(
    reconstruction: Float[Tensor, " n"],
    kl: Float[Tensor, " n"],
    charge: Float[Tensor, " n"],
    parts: dict[str, Float[Tensor, " n"]] | None = None,
) -> Terms:
    """The terms of reconstruction - charge, where the charge is a function of the KL."""
    penalty = torch.where(charge == kl, 0.0, charge - kl)  # 0 for equal infinities, too
    return Terms(reconstruction - charge, reconstruction, kl, penalty, parts or {})


def scaled(weight: float | Tensor, t: Tensor) -> Tensor:
    """weight t, and 0 for a weight of 0 and an infinite t."""
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
    """ValueError unless value is finite, at least `least`, and one for all or one per datum."""
    if isinstance(value, Tensor):
        if value.shape not in ((), (n,)):
            raise ValueError(f"expected a {name} () or ({n},), one per datum, got {tuple(value.shape)}: flatten it")
    elif not (-math.inf < value < math.inf and value >= least):
        raise ValueError(f"expected a finite {name}{' >= 0' if least == 0 else ''}, got {value}")

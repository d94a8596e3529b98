"""The terms that every objective sums, and the checks of their arguments.

A weight or a target is a float or a tensor, () or (n,). ValueError for other shapes, and for a float that is not finite
or, as a weight, negative. Half precision is computed and returned in float32.
"""

import math
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from jensen.core.checks import check_floating, check_number
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


def checked(**terms: Tensor) -> tuple[Tensor, ...]:
    """The terms by name, a reconstruction and KLs (n,), in float32 at least."""
    for name, term in terms.items():
        check_floating(name, term, "n", "average over samples and sum over dimensions, and over no data")
    sizes = {len(term) for term in terms.values()}
    if len(sizes) > 1:
        each = " and ".join(f"{name} ({len(term)},)" for name, term in terms.items())
        raise ValueError(f"expected {' and '.join(terms)} (n,) of one size, got {each}: they belong to the same data")
    return tuple(at_least_float32(term) for term in terms.values())


def check_scalar(name: str, value: float | Tensor, n: int, least: float = -math.inf) -> None:
    """ValueError unless value is finite, at least `least`, and one for all or one per datum."""
    if isinstance(value, Tensor):
        check_floating(name, value)
        if value.shape not in ((), (n,)):
            raise ValueError(f"expected a {name} () or ({n},), one per datum, got {tuple(value.shape)}: flatten it")
    else:
        check_number(name, value, "[0, inf)" if least == 0 else "(-inf, inf)")

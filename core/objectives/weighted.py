"""The ELBO with a weight, a target or a floor for its KL: beta-VAE, capacity, free bits.

`weight` multiplies the KL's penalised form in each. Weights and targets are floats or tensors, see `terms`.
"""

from collections.abc import Sequence

from jaxtyping import Float
from torch import Tensor
from torch.func import vmap

from jensen.core import bounds
from jensen.core.checks import check_floating
from jensen.core.numerics import at_least_float32
from jensen.core.objectives.terms import Terms, charged, check_scalar, checked, scaled


def beta(reconstruction: Float[Tensor, " n"], kl: Float[Tensor, " n"], weight: float | Tensor) -> Terms:
    """reconstruction - weight kl, the beta-VAE (Higgins et al., 2017); weight = 1 is the ELBO.

    A lower bound on log p(x) for weight >= 1. -reconstruction is the distortion and kl the rate: the optima over
    weights trace the rate-distortion curve (Alemi et al., 2018), and `decompose` splits the rate further.
    """
    reconstruction, kl = checked(reconstruction=reconstruction, kl=kl)
    check_scalar("weight", weight, len(kl), 0.0)
    return charged(reconstruction, kl, scaled(weight, kl))


def capacity(
    reconstruction: Float[Tensor, " n"], kl: Float[Tensor, " n"], weight: float | Tensor, target: float | Tensor
) -> Terms:
    """reconstruction - weight |kl - target|, for a target in nats that grows in training (Burgess et al., 2018).

    A lower bound on log p(x) only where weight |kl - target| >= kl.
    """
    reconstruction, kl = checked(reconstruction=reconstruction, kl=kl)
    check_scalar("weight", weight, len(kl), 0.0)
    check_scalar("target", target, len(kl))
    return charged(reconstruction, kl, scaled(weight, (kl - target).abs()))


def free_bits(
    reconstruction: Float[Tensor, " n"],
    kl: Float[Tensor, "n d"],
    floor: float | Tensor,
    groups: Sequence[int] | None = None,
    per_datum: bool = False,
    weight: float | Tensor = 1.0,
) -> Terms:
    """reconstruction - weight bounds.free_bits(kl, floor, groups), a KL per dimension in, (n, d) (Kingma et al., 2016).

    No group's KL counts less than the floor, in nats: its average over the minibatch, or each datum's if `per_datum`.
    Groups are consecutive dimensions of the given sizes: one each by default, (d,) for all together. For a weight of
    1 or more the mean over the data is a lower bound on that of log p(x), as no group counts less than its KL.
    """
    check_floating("kl", kl, "n d", "one term per dimension: average over samples alone")
    if per_datum:
        charge = vmap(lambda own: bounds.free_bits(own[None], floor, groups)[0])(kl)
    else:
        charge = bounds.free_bits(kl, floor, groups)
    reconstruction, whole = checked(reconstruction=reconstruction, kl=at_least_float32(kl).sum(-1))
    check_scalar("weight", weight, len(whole), 0.0)
    return charged(reconstruction, whole, scaled(weight, charge))

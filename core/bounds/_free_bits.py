"""Free bits (Kingma et al., 2016): a KL below a floor is not penalised, against posterior collapse."""

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from jensen.core.checks import check_floating, check_number, check_sizes
from jensen.core.numerics import at_least_float32


def free_bits(
    kl: Float[Tensor, "n d"], floor: float | Tensor, groups: Sequence[int] | None = None
) -> Float[Tensor, " n"]:
    """The KL per datum, in which no group counts less than `floor` nats on average over the data.

    sum_g of kl_g where mean_n kl_g > floor, else floor: the mean over n is sum_g max(floor, mean_n kl_g) (Kingma et
    al., 2016, equation 15). kl_g (n,) sums the dimensions of group g: `groups` are sizes of consecutive groups, such
    as the layers of a hierarchy, (20, 10) for d = 30; by default every dimension is a group. `floor` may be a
    tensor, () or one per group. A group on or under the floor has no gradient. ValueError for other shapes, sizes that
    do not sum to d, and a float floor that is negative or not finite.
    """
    check_floating("kl", kl, "n d", "one term per dimension: average over samples alone")
    kl = at_least_float32(kl)
    if groups is not None:
        groups = check_sizes("groups", groups)
        if sum(groups) != kl.shape[-1]:
            raise ValueError(f"expected groups, sizes that sum to d = {kl.shape[-1]}, got {groups}: one size per group")
        kl = torch.stack([part.sum(-1) for part in kl.split(list(groups), -1)], -1)
    _check_floor(floor, kl.shape[1])
    charged = (kl.mean(0) <= floor) | (floor != floor)  # a floor of NaN gives NaN
    return torch.where(charged, floor, kl).sum(-1)


def _check_floor(floor: float | Tensor, groups: int) -> None:
    if isinstance(floor, Tensor):
        if floor.shape not in ((), (groups,)):
            raise ValueError(f"expected a floor () or ({groups},), one per group, got {tuple(floor.shape)}: flatten it")
    else:
        check_number("floor", floor, "[0, inf)", "in nats; 0 leaves the KL as it is")

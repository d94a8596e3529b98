"""Free bits: a KL below a floor costs nothing, so that a posterior has room to be used."""

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor


def free_bits(
    kl: Float[Tensor, "n d"], floor: float | Tensor, groups: Sequence[int] | None = None
) -> Float[Tensor, " n"]:
    """The KL per datum with each group's charge no lower than `floor` nats on average over the data.

    sum_g of kl_g where mean_n kl_g > floor, else floor: the mean over n is sum_g max(floor, mean_n kl_g) (Kingma et
    al., 2016, equation 15). kl_g (n,) sums the dimensions of group g: `groups` are sizes of consecutive groups, such
    as the layers of a hierarchy, (20, 10) for d = 30; by default every dimension is a group. `floor` may be one per
    group. A group under the floor has no gradient. ValueError for sizes that do not sum to d.
    """
    if groups is not None:
        if sum(groups) != kl.shape[-1] or min(groups, default=0) < 1:
            raise ValueError(
                f"expected group sizes that sum to d = {kl.shape[-1]}, got {tuple(groups)}: one size per group"
            )
        kl = torch.stack([part.sum(-1) for part in kl.split(list(groups), -1)], -1)
    return torch.where(kl.mean(0) <= floor, floor, kl).sum(-1)

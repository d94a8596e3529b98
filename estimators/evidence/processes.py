"""Particles shared among the processes of a group: each has consecutive ones, and what they come to is gathered."""

from collections.abc import Sequence

import torch
import torch.distributed as dist
from torch import Tensor


def share(k: int, group: dist.ProcessGroup | None) -> tuple[int, int]:
    """This process's first of k particles, and the one after its last; all where there is no group."""
    if group is None:
        return 0, k
    rank, size = dist.get_rank(group), dist.get_world_size(group)
    if k < size:
        raise ValueError(f"expected k of a particle or more for each of the {size} processes, got {k}: take more")
    return k * rank // size, k * (rank + 1) // size


def shares(k: int, group: dist.ProcessGroup) -> list[int]:
    """How many each process has, in the order of their ranks."""
    size = dist.get_world_size(group)
    return [k * (rank + 1) // size - k * rank // size for rank in range(size)]


def gathered(tensors: Sequence[Tensor], group: dist.ProcessGroup) -> list[list[Tensor]]:
    """Every process's tensors, of one shape everywhere, in the order of their ranks."""
    own = torch.stack([*tensors])
    every = [torch.empty_like(own) for _ in range(dist.get_world_size(group))]
    dist.all_gather(every, own, group)
    return [[*each.unbind()] for each in every]

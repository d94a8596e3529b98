"""What the kernel tests share: noise, types with their tolerances, and values where kernels run."""

from typing import TypeVar

import torch
from torch.utils import _pytree as pytree

from jensen.core import keys
from tests.core.test_transforms import DEVICE

TYPES = [torch.float16, torch.bfloat16, torch.float32, torch.float64]
TOLERANCE = {torch.float16: 2e-3, torch.bfloat16: 1.6e-2, torch.float32: 3e-5, torch.float64: 1e-11}


Values = TypeVar("Values")


def on_device(values: Values) -> Values:
    """A tree whose tensors are where kernels run; oracles and strategies have theirs on the CPU."""
    return pytree.tree_map_only(torch.Tensor, lambda t: t.to(DEVICE), values)


def noise(seed, *shape):
    return 0.6 * keys.normal(keys.key(seed, DEVICE), shape, torch.float64)

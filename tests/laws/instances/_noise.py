"""The numbers that rows are made of."""

import torch
from torch import Tensor

from jensen.core import keys


def noise(seed: int, *shape: int) -> Tensor:
    return keys.normal(keys.key(seed), shape, torch.float64)

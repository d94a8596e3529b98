"""What the kernel tests share: noise, and types with their tolerances."""

import torch

from jensen.core import keys
from tests.core.test_transforms import DEVICE

TYPES = [torch.float16, torch.bfloat16, torch.float32, torch.float64]
TOLERANCE = {torch.float16: 2e-3, torch.bfloat16: 1.6e-2, torch.float32: 3e-5, torch.float64: 1e-11}


def noise(seed, *shape):
    return 0.6 * keys.normal(keys.key(seed, DEVICE), shape, torch.float64)

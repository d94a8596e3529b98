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


def check_draws(z, expected, log_scale, tolerance):
    """Draws that Box and Muller's radius, at most 5.7, turns: its sines have that error, whatever their size."""
    slack = tolerance * (1 + expected.abs() + 5.7 * log_scale.exp())
    assert ((z - expected).abs() <= slack).all(), f"off by {((z - expected).abs() / slack).max().item():.3g} of it"

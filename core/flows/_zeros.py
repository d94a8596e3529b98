"""The zeros that flows without random fields start from."""

import torch
from jaxtyping import Float
from torch import Tensor

from jensen.core.checks import check_count, check_floating_dtype


def zeros(d: int, dtype: torch.dtype) -> Float[Tensor, " d"]:
    """d zeros; TypeError for a dtype that is not of floating point."""
    check_floating_dtype(dtype)
    return torch.zeros(check_count("d", d), dtype=dtype)

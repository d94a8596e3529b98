"""Where fields start that no key draws."""

import torch
from jaxtyping import Float
from torch import Tensor

from jensen.core.checks import check_count


def zeros(d: int, dtype: torch.dtype) -> Float[Tensor, " d"]:
    """d zeros; TypeError for a dtype that is not of floating point."""
    if not isinstance(dtype, torch.dtype) or not dtype.is_floating_point:
        raise TypeError(f"expected dtype, a floating-point one, got {dtype!r}: pass torch.float32 or another")
    return torch.zeros(check_count("d", d), dtype=dtype)

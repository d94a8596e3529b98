"""Binary pixels from grey ones."""

import torch
from torch import Tensor

from jensen.core import keys
from jensen.core.contracts import Key


def binarise(key: Key, grey: Tensor) -> Tensor:
    """Each pixel (n, D) is 1 with probability its grey value, a draw that belongs to its datum; NaN stays NaN."""
    u = keys.uniform(key, (1, *grey.shape), torch.float32)[0]
    return torch.where(grey.isnan(), grey, (u < grey).to(grey.dtype))

"""Root-mean-square normalisation (Zhang and Sennrich, 2019): layer normalisation without a mean and a bias.

y = weight x / sqrt(mean of x² + eps) over the last axis.
"""

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

from jensen.core.checks import check_dtype, check_number
from jensen.core.nn.channels import check_channels, ones
from jensen.core.trees import Params, check_keys


def init(features: int, dtype: torch.dtype = torch.float32, device: torch.device | str | None = None) -> Params:
    """{"weight": (features,) of ones}."""
    return {"weight": ones("features", features, 0, dtype, device)}


def apply(params: Params, x: Float[Tensor, "... d"], eps: float = 1e-5) -> Float[Tensor, "... d"]:
    """x (..., features) -> y of its shape."""
    check_keys(params, ("weight",))
    weight = params["weight"]
    check_channels(x, len(weight), 0)
    check_dtype("x", x, weight, "the parameters")
    return F.rms_norm(x, weight.shape, weight, check_number("eps", eps, "[0, inf)"))

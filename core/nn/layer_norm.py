"""Layer normalisation (Ba et al., 2016): each vector of features by its own mean and variance.

y = weight (x - mean) / sqrt(variance + eps) + bias over the last axis.
"""

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

from jensen.core.checks import check_dtype, check_number
from jensen.core.nn.channels import check_channels, ones
from jensen.core.trees import Params, check_keys


def init(features: int, dtype: torch.dtype = torch.float32, device: torch.device | str | None = None) -> Params:
    """{"weight": (features,) of ones, "bias": (features,) of zeros}."""
    weight = ones("features", features, 0, dtype, device)
    return {"weight": weight, "bias": torch.zeros_like(weight)}


def apply(params: Params, x: Float[Tensor, "... d"], eps: float = 1e-5) -> Float[Tensor, "... d"]:
    """x (..., features) -> y of its shape."""
    check_keys(params, ("weight", "bias"))
    weight = params["weight"]
    check_channels(x, len(weight), 0)
    check_dtype("x", x, weight, "the parameters")
    return F.layer_norm(x, weight.shape, weight, params["bias"], check_number("eps", eps, "[0, inf)"))

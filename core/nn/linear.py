"""The linear layer, x W^T + b over the last axis."""

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

from jensen.core.contracts import Key
from jensen.core.nn.initial import Initialiser, xavier
from jensen.core.trees import Params, check_keys


def init(
    key: Key, inputs: int, outputs: int, weight: Initialiser = xavier, dtype: torch.dtype = torch.float32
) -> Params:
    """{"weight": (outputs, inputs), "bias": (outputs,) of zeros}."""
    return {
        "weight": weight(key, (outputs, inputs), dtype),
        "bias": torch.zeros(outputs, dtype=dtype, device=key.device),
    }


def apply(params: Params, x: Float[Tensor, "... i"]) -> Float[Tensor, "... o"]:
    """x (..., inputs) -> (..., outputs). ValueError when the last axis does not fit."""
    check_keys(params, ("weight", "bias"))
    inputs = params["weight"].shape[1]
    if x.ndim == 0 or x.shape[-1] != inputs:
        raise ValueError(f"expected x (..., {inputs}), got {tuple(x.shape)}: the last axis holds the features")
    return F.linear(x, params["weight"], params["bias"])

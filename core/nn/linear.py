"""The linear layer, x W^T + b over the last axis."""

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

from jensen.core.checks import check_count, check_dtype, check_function, check_tensor
from jensen.core.contracts import Key
from jensen.core.nn.initial import Initialiser, xavier
from jensen.core.trees import Params, check_keys


def init(
    key: Key, inputs: int, outputs: int, weight: Initialiser = xavier, dtype: torch.dtype = torch.float32
) -> Params:
    """{"weight": (outputs, inputs), "bias": (outputs,) of zeros}."""
    inputs, outputs = check_count("inputs", inputs), check_count("outputs", outputs)
    check_function("weight", weight, "initial.xavier")
    return {
        "weight": weight(key, (outputs, inputs), dtype),
        "bias": torch.zeros(outputs, dtype=dtype, device=key.device),
    }


def apply(params: Params, x: Float[Tensor, "... i"]) -> Float[Tensor, "... o"]:
    """x (..., inputs) -> (..., outputs). ValueError when the last axis does not fit, TypeError for another dtype."""
    check_keys(params, ("weight", "bias"))
    check_tensor("x", x)
    inputs = params["weight"].shape[1]
    if x.ndim == 0 or x.shape[-1] != inputs:
        raise ValueError(f"expected x (..., {inputs}), got {tuple(x.shape)}: the last axis holds the features")
    check_dtype("x", x, params["weight"], "the parameters")
    return F.linear(x, params["weight"], params["bias"])


def check_linear(params: Params, inputs: int, outputs: int) -> None:
    """KeyError or ValueError unless they are a layer's of these sizes."""
    check_keys(params, ("weight", "bias"))
    check_tensor("weight", params["weight"], f"{outputs} {inputs}", "the parameters are those of another size")
    check_tensor("bias", params["bias"], f"{outputs}", "the parameters are those of another size")

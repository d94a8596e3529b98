"""The multilayer perceptron of an input and a condition, whose first layer is W x + V c + b.

x and c may have different leading axes, which broadcast: for x (n, i) and c (s, n, k), as where every class of each
datum is tried, W x is computed for n rows alone.
"""

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

from jensen.core import keys
from jensen.core.checks import check_count, check_dtype, check_function, check_key, check_sizes, check_tensor, described
from jensen.core.contracts import Key
from jensen.core.nn import linear, mlp
from jensen.core.nn.initial import Activation, Initialiser, xavier
from jensen.core.trees import Params, check_keys


def init(
    key: Key, sizes: Sequence[int], condition: int, weight: Initialiser = xavier, dtype: torch.dtype = torch.float32
) -> Params:
    """{"input": W and b, "condition": V, "network": the layers above}, for sizes (inputs, hidden, ..., outputs)."""
    check_key(key)
    sizes, condition = check_sizes("sizes", sizes), check_count("condition", condition)
    if len(sizes) < 3:
        raise ValueError(f"expected sizes (inputs, hidden, ..., outputs), got {described(sizes)}: three or more")
    check_function("weight", weight, "initial.xavier")
    first, second, rest = keys.split(key, 3)
    return {
        "input": linear.init(first, sizes[0], sizes[1], weight, dtype),
        "condition": weight(second, (sizes[1], condition), dtype),
        "network": mlp.init(rest, sizes[1:], weight, dtype),
    }


def apply(
    params: Params,
    x: Float[Tensor, "... i"],
    c: Float[Tensor, "... k"],
    activation: Activation = torch.tanh,
) -> Float[Tensor, "... o"]:
    """x (..., inputs) and c (..., condition), whose leading axes broadcast -> (..., outputs)."""
    return linear.apply(last(params), features(params, x, c, activation))


def features(
    params: Params,
    x: Float[Tensor, "... i"],
    c: Float[Tensor, "... k"],
    activation: Activation = torch.tanh,
) -> Float[Tensor, "... h"]:
    """The inputs of the last layer: (..., last hidden width)."""
    check_keys(params, ("input", "condition", "network"))
    size = params["condition"].shape[1]
    check_tensor("c", c, f"... {size}", "the last axis holds the condition")
    check_dtype("c", c, params["condition"], "the parameters")
    check_function("activation", activation, "torch.tanh")
    first = activation(linear.apply(params["input"], x) + F.linear(c, params["condition"]))
    return mlp.features(params["network"], first, activation)


def last(params: Params) -> Params:
    """The last layer's parameters."""
    check_keys(params, ("input", "condition", "network"))
    return mlp.last(params["network"])

"""The multilayer perceptron: linear layers with an activation between them."""

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from jensen.core import keys
from jensen.core.checks import check_function, check_key, check_sizes, check_tensor, described
from jensen.core.contracts import Key
from jensen.core.nn import linear
from jensen.core.nn.initial import Activation, Initialiser, xavier
from jensen.core.trees import Params, check_keys


def init(key: Key, sizes: Sequence[int], weight: Initialiser = xavier, dtype: torch.dtype = torch.float32) -> Params:
    """{"0": layer, "1": layer, ...} for sizes (inputs, hidden, ..., outputs)."""
    check_key(key)
    sizes = check_sizes("sizes", sizes)
    if len(sizes) < 2:
        raise ValueError(f"expected sizes (inputs, ..., outputs), got {described(sizes)}: two numbers or more")
    each = keys.split(key, len(sizes) - 1)
    return {
        str(i): linear.init(each[i], sizes[i], sizes[i + 1], weight=weight, dtype=dtype) for i in range(len(sizes) - 1)
    }


def apply(params: Params, x: Float[Tensor, "... i"], activation: Activation = torch.tanh) -> Float[Tensor, "... o"]:
    """x (..., inputs) -> (..., outputs); the last layer has no activation."""
    return linear.apply(last(params), features(params, x, activation))


def features(params: Params, x: Float[Tensor, "... i"], activation: Activation = torch.tanh) -> Float[Tensor, "... h"]:
    """The inputs of the last layer: x (..., inputs) -> (..., last hidden width)."""
    check_tensor("x", x)
    check_function("activation", activation, "torch.tanh")
    for i in range(_last(params)):
        x = activation(linear.apply(params[str(i)], x))
    return x


def last(params: Params) -> Params:
    """The last layer's parameters."""
    return params[str(_last(params))]


def _last(params: Params) -> int:
    count = max(len(params), 1) if isinstance(params, dict) else 1
    check_keys(params, tuple(str(i) for i in range(count)))
    return count - 1

"""Residual blocks, x + f(x), normalised and activated before each layer of f (He et al., 2016).

Of vectors, f is two linear layers with layer normalisation; of series and images, two convolutions that keep the sides,
with group normalisation. No block has a state, and all of them treat each datum by itself.
"""

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

from jensen.core import keys
from jensen.core.checks import check_count, check_function, check_key
from jensen.core.contracts import Key
from jensen.core.nn import conv, group_norm, layer_norm, linear
from jensen.core.nn.initial import Activation, Initialiser, he
from jensen.core.nn.windows import Extent, along, axes_of
from jensen.core.trees import Params, check_keys


def init(key: Key, features: int, hidden: int, weight: Initialiser = he, dtype: torch.dtype = torch.float32) -> Params:
    """{"norms": {"0", "1"}, "layers": {"0", "1"}} for vectors: features -> hidden -> features."""
    check_key(key)
    features, hidden = check_count("features", features), check_count("hidden", hidden)
    first, second = keys.split(key)
    norms = {str(i): layer_norm.init(each, dtype, key.device) for i, each in enumerate((features, hidden))}
    layers = {
        "0": linear.init(first, features, hidden, weight, dtype),
        "1": linear.init(second, hidden, features, weight, dtype),
    }
    return {"norms": norms, "layers": layers}


def apply(params: Params, x: Float[Tensor, "... d"], activation: Activation = F.relu) -> Float[Tensor, "... d"]:
    """x (..., features) -> x + f(x)."""
    check_keys(params, ("norms", "layers"))
    check_function("activation", activation, "torch.relu")
    h = x
    for i in ("0", "1"):
        h = linear.apply(params["layers"][i], activation(layer_norm.apply(params["norms"][i], h)))
    return x + h


def init_conv(
    key: Key, inputs: int, outputs: int, kernel: Extent = 3, weight: Initialiser = he,
    dtype: torch.dtype = torch.float32,
) -> Params:  # fmt: skip
    """{"norms": {"0", "1"}, "layers": {"0", "1"}, "skip"}: of convolutions inputs -> outputs -> outputs.

    The skip is a convolution of kernel 1 where the outputs are not as many as the inputs, else {}. ValueError for an
    even kernel, which has no centre.
    """
    check_key(key)
    inputs, outputs = check_count("inputs", inputs), check_count("outputs", outputs)
    axes = axes_of(kernel)
    sides = tuple(window.kernel for window in along(axes, kernel))
    if not all(side % 2 for side in sides):
        raise ValueError(f"expected kernel of odd sides, got {kernel}: an even one does not keep the sides")
    first, second, skip = keys.split(key, 3)
    norms = {str(i): group_norm.init(each, axes, dtype, key.device) for i, each in enumerate((inputs, outputs))}
    layers = {
        "0": conv.init(first, inputs, outputs, sides, weight=weight, dtype=dtype),
        "1": conv.init(second, outputs, outputs, sides, weight=weight, dtype=dtype),
    }
    widened = {} if inputs == outputs else conv.init(skip, inputs, outputs, (1,) * axes, weight=weight, dtype=dtype)
    return {"norms": norms, "layers": layers, "skip": widened}


def apply_conv(
    params: Params, x: Float[Tensor, "..."], groups: int = 1, activation: Activation = F.relu
) -> Float[Tensor, "..."]:
    """x (..., inputs, *sides) -> skip(x) + f(x), (..., outputs, *sides); so many groups in each normalisation."""
    check_keys(params, ("norms", "layers", "skip"))
    check_function("activation", activation, "torch.relu")
    h = x
    for i in ("0", "1"):
        layer = params["layers"][i]
        padding = tuple(side // 2 for side in layer["weight"].shape[2:])
        h = conv.apply(layer, activation(group_norm.apply(params["norms"][i], h, groups)), padding=padding)
    return h + (conv.apply(params["skip"], x) if params["skip"] else x)

"""The network of a set (Zaheer et al., 2017): what it gives does not depend on the elements' order."""

from collections.abc import Sequence

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from jensen.core import keys
from jensen.core.checks import check_count, check_floating, check_function, check_key, check_sizes, check_tensor
from jensen.core.contracts import Key
from jensen.core.nn import mlp
from jensen.core.nn.initial import Activation, Initialiser, xavier
from jensen.core.trees import Params, check_keys


def init(
    key: Key,
    inputs: int,
    hidden: Sequence[int],
    outputs: int,
    weight: Initialiser = xavier,
    dtype: torch.dtype = torch.float32,
) -> Params:
    """{"each": a perceptron of an element, inputs -> *hidden, "all": one of their mean and number, -> outputs}."""
    check_key(key)
    inputs, outputs = check_count("inputs", inputs), check_count("outputs", outputs)
    hidden = check_sizes("hidden", hidden)
    if not hidden:
        raise ValueError("expected hidden of one width or more, got (): pass (64,)")
    each_key, all_key = keys.split(key)
    return {
        "each": mlp.init(each_key, (inputs, *hidden), weight, dtype),
        "all": mlp.init(all_key, (hidden[-1] + 1, *hidden[::-1], outputs), weight, dtype),
    }


def apply(
    params: Params,
    x: Float[Tensor, "*n m i"],
    mask: Bool[Tensor, "*s m"],
    activation: Activation = torch.tanh,
) -> Float[Tensor, "*s o"]:
    """all(mean over the elements in the set of each(x_j), log(1 + their number)), 0 for the mean of none.

    x (..., m, inputs) are finite numbers, in elements too that the mask (..., m) leaves out. With more axes of the
    mask, x has several sets: mask (n, k, m) of x (n, 1, m, inputs) gives (n, k, outputs).
    """
    check_keys(params, ("each", "all"))
    check_floating("x", x, "... m i")
    check_tensor("mask", mask, "... m")
    check_function("activation", activation, "torch.tanh")
    if mask.dtype != torch.bool or mask.shape[-1] != x.shape[-2]:
        raise ValueError(
            f"expected mask (..., {x.shape[-2]}) of truth values for x {tuple(x.shape)}, got {tuple(mask.shape)} of "
            f"{mask.dtype}: whether each element is in the set"
        )
    h = torch.where(mask[..., None], activation(mlp.apply(params["each"], x, activation)), 0.0)
    count = mask.sum(-1, keepdim=True).to(x.dtype)
    pooled = h.sum(-2) / count.clamp_min(1)
    return mlp.apply(params["all"], torch.cat([pooled, torch.log1p(count)], -1), activation)

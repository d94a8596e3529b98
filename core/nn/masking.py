"""Masks of weights, under which no output sees what comes after it.

They are of perceptrons (Germain et al., 2015), whose inputs have an order, and of convolutions along an axis (van den
Oord et al., 2016).

    of_layers = masking.perceptron(inputs=3, hidden=(8,), each=2)
    x = linear.apply(masking.masked(params, of_layers[0]), x)

A mask is True where a weight counts.
"""

from collections.abc import Sequence

import torch
from jaxtyping import Bool
from torch import Tensor

from jensen.core.checks import check_count, check_sizes, check_tensor
from jensen.core.trees import Params, check_keys


def perceptron(
    inputs: int, hidden: Sequence[int], each: int, device: torch.device | str | None = None
) -> list[Bool[Tensor, "o i"]]:
    """One for each layer of inputs -> *hidden -> each * inputs, of outputs (each, inputs).

    A unit of degree k sees inputs 1 ... k, and output (., i) the units of degrees below i, so inputs 1 ... i - 1.
    """
    inputs, hidden, each = check_count("inputs", inputs), check_sizes("hidden", hidden), check_count("each", each)
    degrees = torch.arange(1, inputs + 1, device=device)
    seen, found = degrees, []
    for units in hidden:
        unit = torch.arange(units, device=device) * inputs // units  # 0 ... inputs - 1, as many of each
        found.append(unit[:, None] >= seen)
        seen = unit
    return [*found, degrees.repeat(each)[:, None] > seen]


def before(kernel: int, centre: bool, device: torch.device | str | None = None) -> Bool[Tensor, " k"]:
    """Along one axis of a window: what is before its centre, type A, or that and the centre, type B.

    ValueError for an even kernel, which has no centre.
    """
    if check_count("kernel", kernel) % 2 == 0:
        raise ValueError(f"expected kernel, an odd number, got {kernel}: an even one has no centre")
    return torch.arange(kernel, device=device) < kernel // 2 + bool(centre)


def masked(params: Params, mask: Bool[Tensor, "..."]) -> Params:
    """A layer's parameters with 0 for the weights that do not count; the mask may lack leading axes of the weight."""
    check_keys(params, ("weight", "bias"))
    check_tensor("mask", mask)
    weight = params["weight"]
    if mask.dtype != torch.bool:
        raise TypeError(f"expected mask, of booleans, got {mask.dtype}: convert it with mask.bool()")
    if mask.ndim > weight.ndim or any(
        m not in (1, w) for m, w in zip(mask.shape[::-1], weight.shape[::-1], strict=False)
    ):
        raise ValueError(
            f"expected mask {tuple(weight.shape)}, as the weight, or with fewer leading axes, got {tuple(mask.shape)}: "
            "it is of another layer"
        )
    return {**params, "weight": weight * mask}

"""Networks of many equal layers, normalised or not, and what is left of a gradient at their input."""

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

from jensen.core import keys
from jensen.core.contracts import Key
from jensen.core.nn import batch_norm, layer_norm, linear, residual
from jensen.core.nn.initial import Initialiser, Normal, he, xavier
from jensen.core.trees import Params

ACTIVATIONS = {"sigmoid": torch.sigmoid, "tanh": torch.tanh, "ReLU": torch.relu}
WEIGHTS = {"N(0, 0.01²)": Normal(0.01), "Xavier": xavier, "He": he}
REMEDIES = ("none", "batch norm", "layer norm", "residual")
STEEPEST = 0.25  # the largest slope of a sigmoid
DTYPE = torch.float64  # gradients of 1e-40 are not 0

Activation = Callable[[Tensor], Tensor]


class Stack(NamedTuple):
    """`depth` linear layers with an activation after each, and a remedy between; a residual block is two layers."""

    activation: Activation
    weight: Initialiser
    remedy: str

    def init(self, key: Key, width: int, depth: int) -> list[Params]:
        """The parameters of each layer, or block, from the input on."""
        if self.remedy == "residual":
            return [residual.init(each, width, width, self.weight, DTYPE) for each in keys.split(key, depth // 2)]
        return [linear.init(each, width, width, self.weight, DTYPE) for each in keys.split(key, depth)]

    def apply(self, layers: list[Params], x: Tensor) -> Tensor:
        """x (n, width) -> (n, width)."""
        for params in layers:
            x = self.layer(params, x)
        return x

    def layer(self, params: Params, x: Tensor) -> Tensor:
        """One layer, whose normalisation is at its start: weights 1 and biases 0, with the moments of this batch."""
        if self.remedy == "residual":
            return residual.apply(params, x, self.activation)
        h, width = linear.apply(params, x), x.shape[-1]
        if self.remedy == "batch norm":
            scale, running = batch_norm.init(width, dtype=DTYPE)
            h, _ = batch_norm.apply(scale, running, h, training=True)
        if self.remedy == "layer norm":
            h = layer_norm.apply(layer_norm.init(width, DTYPE), h)
        return self.activation(h)


def input_gradients(stack: Stack, layers: list[Params], key: Key, n: int) -> Tensor:
    """Norms, (n,), of the gradient of v · h in x: x of standard normals, h the last layer's output, |v| = 1 at random.

    A datum's is that of the sum over data, which batch normalisation alone makes another one.
    """
    x_key, v_key = keys.split(key)
    width = _width(layers)
    x, v = (keys.normal(each, (n, width), DTYPE) for each in (x_key, v_key))
    v = v / v.norm(dim=-1, keepdim=True)
    return torch.func.grad(lambda x: (v * stack.apply(layers, x)).sum())(x).norm(dim=-1)


def sigmoid_bounds(layers: list[Params]) -> tuple[float, float]:
    """Logarithms of Π 0.25 |W_l| and of (0.25 max |W_l|)^L, |W| the largest singular value: no gradient is above."""
    log_norms = torch.stack([torch.linalg.matrix_norm(params["weight"], 2) for params in layers]).mul(STEEPEST).log()
    return log_norms.sum().item(), len(layers) * log_norms.max().item()


def _width(layers: list[Params]) -> int:
    first = layers[0]["layers"]["0"] if "layers" in layers[0] else layers[0]
    return first["weight"].shape[1]

"""Initial weights: functions of a key and of a weight's shape, (out, in) or (out, in, height, width)."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

from jensen.core import keys
from jensen.core.checks import check_function, check_number, check_sizes, described
from jensen.core.contracts import Key

Activation: TypeAlias = Callable[[Tensor], Tensor]
Initialiser: TypeAlias = Callable[[Key, tuple[int, ...], torch.dtype], Tensor]
RECTIFIERS = (F.relu, F.leaky_relu, F.gelu, torch.relu)


def xavier(key: Key, shape: tuple[int, ...], dtype: torch.dtype = torch.float32) -> Float[Tensor, "out in *kernel"]:
    """Uniform on ±sqrt(6 / (fan_in + fan_out)), for tanh and sigmoid (Glorot and Bengio, 2010)."""
    fan_in, fan_out = fans(shape)
    return math.sqrt(6 / (fan_in + fan_out)) * (2 * keys.uniform(key, (math.prod(shape),), dtype).reshape(shape) - 1)


def he(key: Key, shape: tuple[int, ...], dtype: torch.dtype = torch.float32) -> Float[Tensor, "out in *kernel"]:
    """Normal with variance 2 / fan_in, for rectifiers (He et al., 2015)."""
    fan_in, _ = fans(shape)
    return math.sqrt(2 / fan_in) * keys.normal(key, (math.prod(shape),), dtype).reshape(shape)


@dataclass(frozen=True)
class Normal:
    """N(0, scale²) whatever the fans, under which signals and gradients of deep networks shrink or grow by layer."""

    scale: float = 0.01

    def __post_init__(self) -> None:
        check_number("scale", self.scale, "(0, inf)")

    def __call__(
        self, key: Key, shape: tuple[int, ...], dtype: torch.dtype = torch.float32
    ) -> Float[Tensor, "out in *kernel"]:
        fans(shape)
        return self.scale * keys.normal(key, (math.prod(shape),), dtype).reshape(shape)


def initialiser(activation: Activation) -> Initialiser:
    """`he` for rectifiers, `xavier` for other activations. TypeError for what is no function."""
    check_function("activation", activation, "torch.tanh")
    return he if activation in RECTIFIERS else xavier


def fans(shape: tuple[int, ...]) -> tuple[int, int]:
    """(fan_in, fan_out): the inputs of one output, and the outputs of one input."""
    if len(check_sizes("shape", shape)) < 2:
        raise ValueError(
            f"expected shape (outputs, inputs, *kernel), got {described(shape)}: a weight has two axes or more"
        )
    receptive = math.prod(shape[2:])
    return shape[1] * receptive, shape[0] * receptive

"""Vector fields over points and times: what a diffusion's noise and a flow's velocity are learned as.

A `Field` is anything with init(key, dtype) -> params and field(params, x (..., d), t (...)) -> (..., d); `mlp` is one.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

from jensen.core.checks import check_count, check_floating, check_function, check_key, check_number, check_sizes
from jensen.core.contracts import Key
from jensen.core.nn import mlp as mlps
from jensen.core.nn.initial import Activation, he
from jensen.core.trees import Params

FREQUENCIES = 8  # of time, from half a turn in [0, 1] to 64 turns


@runtime_checkable
class Field(Protocol):
    """A vector at each point and time."""

    @property
    def data(self) -> int: ...
    def init(self, key: Key, dtype: torch.dtype = torch.float32, /) -> Params: ...
    def __call__(self, params: Params, x: Tensor, t: Tensor, /) -> Tensor: ...


@dataclass(frozen=True)
class Mlp:
    """A multilayer perceptron of x beside waves of t; its last layer starts at 0."""

    data: int
    hidden: tuple[int, ...]
    activation: Activation
    outputs: int
    frequencies: int
    fineness: float

    def init(self, key: Key, dtype: torch.dtype = torch.float32, /) -> Params:
        """The perceptron's parameters."""
        check_key(key)
        params = mlps.init(key, (self.data + 2 * self.frequencies, *self.hidden, self.outputs), he, dtype)
        params["0"]["weight"][:, : self.data] *= self.fineness
        mlps.last(params)["weight"] = torch.zeros_like(mlps.last(params)["weight"])
        return params

    def __call__(self, params: Params, x: Float[Tensor, "... d"], t: Float[Tensor, "..."], /) -> Float[Tensor, "... k"]:
        """The field at x and times t in [0, 1], one for each point."""
        check_floating("x", x, f"... {self.data}", "the last axis holds the coordinates")
        check_floating("t", t)
        given = torch.cat([x, waves(t.expand(x.shape[:-1]), self.frequencies)], -1)
        return mlps.apply(params, given, self.activation)


def mlp(
    data: int,
    hidden: Sequence[int] = (128, 128, 128),
    activation: Activation = F.silu,
    outputs: int | None = None,
    frequencies: int = FREQUENCIES,
    fineness: float = 1.0,
) -> Mlp:
    """data + time -> *hidden -> outputs, as many as data unless given.

    frequencies are those of time. fineness multiplies the first weights of x: for structure finer than its scale.
    """
    check_function("activation", activation, "torch.nn.functional.silu")
    data = check_count("data", data)
    size = data if outputs is None else check_count("outputs", outputs)
    return Mlp(
        data, check_sizes("hidden", hidden), activation, size, check_count("frequencies", frequencies),
        check_number("fineness", fineness, "(0, inf)"),
    )  # fmt: skip


def waves(t: Float[Tensor, "..."], frequencies: int = FREQUENCIES) -> Float[Tensor, "... f"]:
    """sin and cos of t pi 2^i, i = 0, ..., frequencies - 1: (..., 2 frequencies)."""
    check_floating("t", t)
    octaves = torch.arange(check_count("frequencies", frequencies), dtype=t.dtype, device=t.device)
    angles = t[..., None] * (math.pi * 2.0**octaves)
    return torch.cat([angles.sin(), angles.cos()], -1)

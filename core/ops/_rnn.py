"""The Elman network's recurrence (1990)."""

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

from jensen.core.ops.recurrence import backwards, before, recurrence, to_weights


def rnn(
    x: Float[Tensor, "n t i"], h: Float[Tensor, "n d"], wi: Float[Tensor, "d i"], wh: Float[Tensor, "d d"],
    bi: Float[Tensor, " d"], bh: Float[Tensor, " d"],
) -> Float[Tensor, "n t d"]:  # fmt: skip
    """h_t = tanh(wi x_t + bi + wh h_(t-1) + bh), (n, t, d), from h before the first step."""
    return _op(x, h, wi, wh, bi, bh)


def _step(inputs: Tensor, states: tuple[Tensor, ...], wh: Tensor, bh: Tensor) -> tuple[Tensor]:
    return (torch.tanh(inputs + F.linear(states[0], wh, bh)),)


def _forward(x: Tensor, h: Tensor, *weights: Tensor) -> Tensor:
    return torch.rnn_tanh(x, h[None], weights, True, 1, 0.0, False, False, True)[0]


def _backward(
    outputs: Tensor, g: Tensor, x: Tensor, h: Tensor, wi: Tensor, wh: Tensor, *biases: Tensor
) -> tuple[Tensor, ...]:
    after = outputs.transpose(0, 1)
    slope, at_h, gates = 1 - after.square(), torch.zeros_like(h), []
    for t, each in backwards(g):
        gates.append((each + at_h) * slope[t])
        at_h = gates[-1] @ wh
    every = torch.stack(gates[::-1])
    at_x, *at_weights = to_weights(x, before(h, after), every, every, wi)
    return at_x, at_h, *at_weights


_op = recurrence("rnn", _step, _forward, _backward, gates=1)

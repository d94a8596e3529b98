"""The gated recurrent unit's recurrence, as torch.nn has it: the reset gate acts after the product with h."""

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

from jensen.core.ops.recurrence import backwards, before, products, recurrence, to_weights


def gru(
    x: Float[Tensor, "n t i"], h: Float[Tensor, "n d"], wi: Float[Tensor, "g i"], wh: Float[Tensor, "g d"],
    bi: Float[Tensor, " g"], bh: Float[Tensor, " g"],
) -> Float[Tensor, "n t d"]:  # fmt: skip
    """h_t = (1 - z) c + z h_(t-1), (n, t, d), from h before the first step (Cho et al., 2014).

    With a = wi x_t + bi and b = wh h_(t-1) + bh in three parts each, r = sigmoid(a_1 + b_1), z = sigmoid(a_2 + b_2)
    and c = tanh(a_3 + r b_3).
    """
    return _op(x, h, wi, wh, bi, bh)


def _gates(inputs: Tensor, hidden: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """r, z, c and b_3."""
    (a_r, a_z, a_c), (b_r, b_z, b_c) = inputs.chunk(3, -1), hidden.chunk(3, -1)
    r = torch.sigmoid(a_r + b_r)
    return r, torch.sigmoid(a_z + b_z), torch.tanh(a_c + r * b_c), b_c


def _step(inputs: Tensor, states: tuple[Tensor, ...], wh: Tensor, bh: Tensor) -> tuple[Tensor]:
    _, z, c, _ = _gates(inputs, F.linear(states[0], wh, bh))
    return (c + z * (states[0] - c),)


def _forward(x: Tensor, h: Tensor, *weights: Tensor) -> Tensor:
    return torch.gru(x, h[None], weights, True, 1, 0.0, False, False, True)[0]


def _backward(
    outputs: Tensor, g: Tensor, x: Tensor, h: Tensor, wi: Tensor, wh: Tensor, bi: Tensor, bh: Tensor
) -> tuple[Tensor, ...]:
    previous = before(h, outputs.transpose(0, 1))
    r, z, c, b_c = _gates(products(x.transpose(0, 1), wi, bi), products(previous, wh, bh))
    at_c = (1 - z) * (1 - c.square())
    at_r, at_z = at_c * b_c * r * (1 - r), (previous - c) * z * (1 - z)
    slopes = torch.stack([at_c * r, at_r, at_z, at_c], 2)  # of b_3, of a_1 and b_1, of a_2 and b_2, of a_3
    b_first = torch.cat([wh[2 * h.shape[1] :], wh[: 2 * h.shape[1]]])  # rows in the order of the first three
    at_h, gates = torch.zeros_like(h), []
    for t, each in backwards(g):
        each = each + at_h
        gates.append((each[:, None] * slopes[t]).flatten(1))
        at_h = torch.addmm(each * z[t], gates[-1][:, : len(wh)], b_first)
    every, features = torch.stack(gates[::-1]), h.shape[1]
    hidden = torch.cat([every[..., features : len(wh)], every[..., :features]], -1)
    at_x, *at_weights = to_weights(x, previous, every[..., features:], hidden, wi)
    return at_x, at_h, *at_weights


_op = recurrence("gru", _step, _forward, _backward, gates=3)

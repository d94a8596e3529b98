"""The gated recurrent unit's recurrence of Cho et al. (2014): the reset gate acts before the product with h."""

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

from jensen.core.ops.recurrence import backwards, before, products, recurrence, to_weights


def gru_before(
    x: Float[Tensor, "n t i"], h: Float[Tensor, "n d"], wi: Float[Tensor, "g i"], wh: Float[Tensor, "g d"],
    bi: Float[Tensor, " g"], bh: Float[Tensor, " g"],
) -> Float[Tensor, "n t d"]:  # fmt: skip
    """h_t = (1 - z) c + z h_(t-1), (n, t, d), from h before the first step.

    With a = wi x_t + bi + bh and wh in three parts each, r = sigmoid(a_1 + wh_1 h_(t-1)), z = sigmoid(a_2 +
    wh_2 h_(t-1)) and c = tanh(a_3 + wh_3 (r h_(t-1))).
    """
    return _op(x, h, wi, wh, bi, bh)


def _step(inputs: Tensor, states: tuple[Tensor, ...], wh: Tensor, bh: Tensor) -> tuple[Tensor]:
    (h,), features = states, wh.shape[-1]
    gates, rest = inputs[..., : 2 * features], inputs[..., 2 * features :]
    r, z = torch.sigmoid(gates + F.linear(h, wh[: 2 * features], bh[: 2 * features])).chunk(2, -1)
    c = torch.tanh(rest + F.linear(r * h, wh[2 * features :], bh[2 * features :]))
    return (c + z * (h - c),)


def _forward(x: Tensor, h: Tensor, wi: Tensor, wh: Tensor, bi: Tensor, bh: Tensor) -> Tensor:
    every = []
    for inputs in products(x.transpose(0, 1), wi, bi):
        (h,) = _step(inputs, (h,), wh, bh)
        every.append(h)
    return torch.stack(every, 1)


def _backward(
    outputs: Tensor, g: Tensor, x: Tensor, h: Tensor, wi: Tensor, wh: Tensor, bi: Tensor, bh: Tensor
) -> tuple[Tensor, ...]:
    features, previous = h.shape[1], before(h, outputs.transpose(0, 1))
    first, last = wh[: 2 * features], wh[2 * features :]
    a = products(x.transpose(0, 1), wi, bi)
    r, z = torch.sigmoid(a[..., : 2 * features] + products(previous, first, bh[: 2 * features])).chunk(2, -1)
    c = torch.tanh(a[..., 2 * features :] + products(r * previous, last, bh[2 * features :]))
    at_r, at_z, at_c = previous * r * (1 - r), (previous - c) * z * (1 - z), (1 - z) * (1 - c.square())
    at_h, gates = torch.zeros_like(h), []
    for t, each in backwards(g):
        each = each + at_h
        of_c = each * at_c[t]
        shown = of_c @ last
        of_both = torch.cat([shown * at_r[t], each * at_z[t]], 1)
        at_h = torch.addmm(torch.addcmul(each * z[t], shown, r[t]), of_both, first)
        gates.append(torch.cat([of_both, of_c], 1))
    every = torch.stack(gates[::-1])
    at_x, of_wi, of_wh, *of_biases = to_weights(x, previous, every, every, wi)
    of_last = every[..., 2 * features :].flatten(0, 1).T @ (r * previous).flatten(0, 1)
    return at_x, at_h, of_wi, torch.cat([of_wh[: 2 * features], of_last]), *of_biases


_op = recurrence("gru_before", _step, _forward, _backward, gates=3)

"""The long short-term memory's recurrence (Hochreiter and Schmidhuber, 1997; Gers et al., 2000)."""

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

from jensen.core.ops.recurrence import backwards, before, products, recurrence, to_weights


def lstm(
    x: Float[Tensor, "n t i"], h: Float[Tensor, "n d"], c: Float[Tensor, "n d"], wi: Float[Tensor, "g i"],
    wh: Float[Tensor, "g d"], bi: Float[Tensor, " g"], bh: Float[Tensor, " g"],
) -> tuple[Float[Tensor, "n t d"], Float[Tensor, "n d"]]:  # fmt: skip
    """h_t = o tanh(c_t) and c_t = f c_(t-1) + i u, from h and c before the first step: all h_t, and the last c_t.

    With a = wi x_t + bi + wh h_(t-1) + bh in four parts, i = sigmoid(a_1), f = sigmoid(a_2), u = tanh(a_3) and
    o = sigmoid(a_4).
    """
    return _op(x, h, c, wi, wh, bi, bh)


def _gates(a: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """i, f, u and o."""
    i, f, u, o = a.chunk(4, -1)
    return torch.sigmoid(i), torch.sigmoid(f), torch.tanh(u), torch.sigmoid(o)


def _step(inputs: Tensor, states: tuple[Tensor, ...], wh: Tensor, bh: Tensor) -> tuple[Tensor, Tensor]:
    i, f, u, o = _gates(inputs + F.linear(states[0], wh, bh))
    c = f * states[1] + i * u
    return o * torch.tanh(c), c


def _forward(x: Tensor, h: Tensor, c: Tensor, *weights: Tensor) -> tuple[Tensor, Tensor]:
    every, _, last = torch.lstm(x, (h[None], c[None]), weights, True, 1, 0.0, False, False, True)
    return every, last[0]


def _backward(
    outputs: Tensor, last: Tensor, g: Tensor, at_last: Tensor, x: Tensor, h: Tensor, c: Tensor, wi: Tensor, wh: Tensor,
    bi: Tensor, bh: Tensor,
) -> tuple[Tensor, ...]:  # fmt: skip
    previous = before(h, outputs.transpose(0, 1))
    i, f, u, o = _gates(products(x.transpose(0, 1), wi, bi) + products(previous, wh, bh))
    cells = [c]
    for t, written in enumerate(i * u):
        cells.append(torch.addcmul(written, f[t], cells[-1]))
    cells = torch.stack(cells)
    shown = torch.tanh(cells[1:])
    by_cell = torch.stack([u * i * (1 - i), cells[:-1] * f * (1 - f), i * (1 - u.square())], 2)  # (t, n, 3, d)
    by_h, through = shown * o * (1 - o), o * (1 - shown.square())
    at_h, at_c, gates = torch.zeros_like(h), at_last, []
    for t, each in backwards(g):
        each = each + at_h
        at_c = torch.addcmul(at_c, each, through[t])
        gates.append(torch.cat([(at_c[:, None] * by_cell[t]).flatten(1), each * by_h[t]], 1))
        at_h, at_c = gates[-1] @ wh, at_c * f[t]
    every = torch.stack(gates[::-1])
    at_x, *at_weights = to_weights(x, previous, every, every, wi)
    return at_x, at_h, at_c, *at_weights


def _fast(outputs: Tensor, last: Tensor, g: Tensor, at_last: Tensor, x: Tensor, *given: Tensor) -> tuple[Tensor, ...]:
    """By the library that torch's own LSTM runs on a CPU where it is at hand, twice as fast."""
    if x.dtype == torch.float32 and x.device.type == "cpu" and torch.backends.mkldnn.enabled:
        return _one_dnn(g, at_last, x, *given)
    return _backward(outputs, last, g, at_last, x, *given)


def _one_dnn(g: Tensor, at_last: Tensor, x: Tensor, h: Tensor, c: Tensor, *weights: Tensor) -> tuple[Tensor, ...]:
    """Its workspace is made again; it reads its arguments as if they were contiguous."""
    x, g, *given = (t.contiguous() for t in (x.transpose(0, 1), g.transpose(0, 1), *weights, h[None], c[None]))
    forward, backward = torch.ops.aten.mkldnn_rnn_layer, torch.ops.aten.mkldnn_rnn_layer_backward
    setting = (2, h.shape[1], 1, True)  # mode of an LSTM, features, layers, biases
    with torch.enable_grad():  # without which there is no workspace
        every, h_last, c_last, workspace = forward(x, *given, False, [], *setting, False, False, True)
    at_x, wi, wh, bi, bh, at_h, at_c = backward(
        x, *given, every, h_last, c_last, g, torch.zeros_like(h_last), at_last[None].contiguous(), False, *setting,
        True, False, [], False, workspace,
    )  # fmt: skip
    return at_x.transpose(0, 1), at_h[0], at_c[0], wi, wh, bi.clone(), bh.clone()


_op = recurrence("lstm", _step, _forward, _backward, gates=4, states=2, fast=_fast)

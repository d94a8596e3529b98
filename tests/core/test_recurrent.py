"""Recurrent layers: torch's modules and the formulas as oracles, under every transform."""

import pytest
import torch
from torch import nn
from torch.func import functional_call, grad, jvp, vjp, vmap
from torch.utils import _pytree as pytree

from jensen.core import keys, ops
from jensen.core.nn import recurrent

KEY = keys.key(0)
DOUBLE = torch.float64
MODULES = {"rnn": nn.RNN, "gru": nn.GRU, "lstm": nn.LSTM}
DATA, STEPS, INPUTS, FEATURES = 3, 5, 4, 6


def drawn(i, *shape, dtype=DOUBLE):
    return keys.normal(keys.fold_in(KEY, i), (1, *shape), dtype)[0]


def case(cell, dtype=DOUBLE):
    """Parameters with biases that are no zeros, x, and a state."""
    params = recurrent.init(KEY, cell, INPUTS, FEATURES, dtype=dtype)
    for i, layer in enumerate(params.values()):
        layer["bias"] = 0.3 * drawn(i, len(layer["bias"]), dtype=dtype)
    states = 2 if cell == "lstm" else 1
    return (
        params,
        drawn(10, DATA, STEPS, INPUTS, dtype=dtype),
        tuple(drawn(20 + i, DATA, FEATURES, dtype=dtype) for i in range(states)),
    )


def weighed(h, state):
    """A loss that weighs every output by another number."""
    outputs = [h, *state]
    return sum((t.sin() * torch.arange(t.numel(), dtype=t.dtype).reshape(t.shape)).sum() for t in outputs)


def loss(cell, params, x, state):
    return weighed(*recurrent.apply(params, x, cell, state))


def by_the_module(cell, params, x, state):
    names = {"weight_ih_l0": "inputs.weight", "weight_hh_l0": "hidden.weight"}
    names |= {"bias_ih_l0": "inputs.bias", "bias_hh_l0": "hidden.bias"}
    given = {ours: params[path.split(".")[0]][path.split(".")[1]] for ours, path in names.items()}
    module = MODULES[cell](INPUTS, FEATURES, batch_first=True, dtype=x.dtype)
    at = tuple(t[None] for t in state)
    h, last = functional_call(module, given, (x, at if cell == "lstm" else at[0]))
    return weighed(h, tuple(t[0] for t in (last if cell == "lstm" else (last,))))


def by_the_formula(cell, params, x, state):
    """The original's gated recurrent unit, one line for each of its."""
    (h,), every = state, []
    u_r, u_z, u_c = params["inputs"]["weight"].chunk(3)
    w_r, w_z, w_c = params["hidden"]["weight"].chunk(3)
    b_r, b_z, b_c = (params["inputs"]["bias"] + params["hidden"]["bias"]).chunk(3)
    for t in range(STEPS):
        r = torch.sigmoid(x[:, t] @ u_r.T + h @ w_r.T + b_r)
        z = torch.sigmoid(x[:, t] @ u_z.T + h @ w_z.T + b_z)
        c = torch.tanh(x[:, t] @ u_c.T + (r * h) @ w_c.T + b_c)
        h = z * h + (1 - z) * c
        every.append(h)
    return weighed(torch.stack(every, 1), (h,))


@pytest.mark.parametrize("cell", recurrent.CELLS)
@pytest.mark.parametrize("dtype", [DOUBLE, torch.float32])
def test_values_and_gradients_are_the_oracles(cell, dtype):
    params, x, state = case(cell, dtype)
    oracle = by_the_formula if cell == "gru-before" else by_the_module
    leaves = pytree.tree_map(lambda t: t.clone().requires_grad_(), (params, x, state))
    expected = torch.autograd.grad(oracle(cell, *leaves), pytree.tree_leaves(leaves))
    torch.testing.assert_close(loss(cell, params, x, state), oracle(cell, params, x, state))
    found = grad(lambda *args: loss(cell, *args), (0, 1, 2))(params, x, state)
    for ours, theirs in zip(pytree.tree_leaves(found), expected, strict=True):
        torch.testing.assert_close(
            ours, theirs, rtol=1e-10 if dtype == DOUBLE else 1e-3, atol=1e-10 if dtype == DOUBLE else 1e-3
        )


@pytest.mark.parametrize("cell", recurrent.CELLS)
def test_transforms(cell):
    """vmap over data and weights, forward mode, second derivatives and a compiled graph, beside the plain gradient."""
    params, x, state = case(cell)
    at_x = grad(lambda x: loss(cell, params, x, state))
    several = torch.stack([x, x + 1])
    torch.testing.assert_close(vmap(at_x)(several), torch.stack([at_x(x), at_x(x + 1)]))
    many = pytree.tree_map(lambda t: torch.stack([t, 2 * t]), params)
    by_weights = vmap(grad(lambda p: loss(cell, p, x, state)))(many)
    alone = grad(lambda p: loss(cell, p, x, state))(pytree.tree_map(lambda t: 2 * t, params))
    for all_, one in zip(pytree.tree_leaves(by_weights), pytree.tree_leaves(alone), strict=True):
        torch.testing.assert_close(all_[1], one)
    direction = drawn(3, *x.shape)
    slope = jvp(lambda x: loss(cell, params, x, state), (x,), (direction,))[1]
    torch.testing.assert_close(slope, (at_x(x) * direction).sum())
    step = 1e-6 * direction
    bend = (at_x(x + step) - at_x(x - step)) / 2e-6
    torch.testing.assert_close(jvp(at_x, (x,), (direction,))[1], bend, rtol=1e-6, atol=1e-6)
    torch.testing.assert_close(vjp(at_x, x)[1](direction)[0], bend, rtol=1e-6, atol=1e-6)
    torch.testing.assert_close(torch.compile(at_x, fullgraph=True, backend="aot_eager")(x), at_x(x))


def test_compiled_code_may_rely_on_the_outputs_strides():
    """Of every cell in one graph by the compiler's own backend, which checks them."""
    cases = {cell: case(cell, torch.float32) for cell in recurrent.CELLS}

    def total(params):
        return sum(loss(cell, params[cell], *given[1:]) for cell, given in cases.items())

    params = {cell: given[0] for cell, given in cases.items()}
    found = torch.compile(grad(total), fullgraph=True)(params)
    for ours, eager in zip(pytree.tree_leaves(found), pytree.tree_leaves(grad(total)(params)), strict=True):
        torch.testing.assert_close(ours, eager, rtol=1e-4, atol=1e-3)


@pytest.mark.parametrize("cell", recurrent.CELLS)
def test_parts_are_the_whole(cell):
    params, x, state = case(cell)
    whole, last = recurrent.apply(params, x, cell, state)
    first, between = recurrent.apply(params, x[:, :2], cell, state)
    second, after = recurrent.apply(params, x[:, 2:], cell, between)
    torch.testing.assert_close(torch.cat([first, second], 1), whole)
    torch.testing.assert_close(after, last)


def test_a_path_that_is_cut_is_seen():
    """Without the path through time the gradient is off by far more than the oracles' tolerance."""
    params, x, state = case("rnn")
    exact = grad(lambda x: loss("rnn", params, x, state))(x)

    def cut(x):
        h, every = state[0], []
        for t in range(STEPS):
            h = ops.rnn(x[:, t : t + 1], h.detach(), *(params[s][n] for n in ("weight", "bias") for s in params))[:, 0]
            every.append(h)
        return weighed(torch.stack(every, 1), (h,))

    assert (grad(cut)(x) - exact).abs().max() > 0.1


def test_forget_gates_start_open():
    bias = recurrent.init(KEY, "lstm", INPUTS, FEATURES)["inputs"]["bias"]
    assert bias.tolist() == [0.0] * FEATURES + [1.0] * FEATURES + [0.0] * 2 * FEATURES


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"cell": "gru"}, 'expected cell of 4 gates, as the parameters are, got "gru", which has 3'),
        ({"cell": "LSTM"}, 'expected cell "rnn", "gru", "gru-before" or "lstm", got'),
        (
            {"state": (torch.zeros(DATA, FEATURES, dtype=DOUBLE),)},
            "expected state, 2 tensors, got 1: pass what lstm gave",
        ),
        (
            {"state": (torch.zeros(FEATURES, dtype=DOUBLE),) * 2},
            rf"expected state \(n, {FEATURES}\), got \({FEATURES},\)",
        ),
        ({"state": (torch.zeros(1, FEATURES, dtype=DOUBLE),) * 2}, f"expected state of {DATA} rows, as x has, got 1"),
        ({"x": torch.zeros(DATA, STEPS, 9, dtype=DOUBLE)}, rf"expected x \(n, t, {INPUTS}\), got"),
        ({"x": torch.zeros(DATA, STEPS, INPUTS)}, "expected x in torch.float64, as the parameters have it"),
    ],
)
def test_refusals(change, message):
    params, x, state = case("lstm")
    with pytest.raises((TypeError, ValueError), match=message):
        recurrent.apply(**{"params": params, "x": x, "cell": "lstm", "state": state} | change)

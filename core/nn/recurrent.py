"""Recurrent layers over sequences (n, t, i): Elman's, gated recurrent units and long short-term memories.

"rnn"         tanh units (Elman, 1990)
"gru"         torch.nn's: the reset gate acts after the product with h
"gru-before"  the original's: before it (Cho et al., 2014)
"lstm"        with forget gates (Gers et al., 2000), whose biases start at 1

A part of a sequence is read from the state that the part before it left.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeAlias

import torch
from jaxtyping import Float
from torch import Tensor

from jensen.core import keys
from jensen.core.checks import (
    check_choice,
    check_count,
    check_dtype,
    check_floating,
    check_function,
    check_key,
    check_rows,
)
from jensen.core.contracts import Key
from jensen.core.nn import linear
from jensen.core.nn.initial import Initialiser, xavier
from jensen.core.ops import gru, gru_before, lstm, rnn
from jensen.core.trees import Params, check_keys

State: TypeAlias = tuple[Tensor, ...]  # (n, d) each: h, and for an lstm c


@dataclass(frozen=True)
class _Cell:
    op: Callable[..., Any]
    gates: int
    states: int = 1


CELLS = {"rnn": _Cell(rnn, 1), "gru": _Cell(gru, 3), "gru-before": _Cell(gru_before, 3), "lstm": _Cell(lstm, 4, 2)}


def init(
    key: Key, cell: str, inputs: int, features: int, weight: Initialiser = xavier, dtype: torch.dtype = torch.float32
) -> Params:
    """{"inputs": linear of x, "hidden": linear of h}, gates side by side, as torch.nn's weights are."""
    check_key(key)
    check_choice("cell", cell, tuple(CELLS))
    inputs, features, gates = check_count("inputs", inputs), check_count("features", features), CELLS[cell].gates
    check_function("weight", weight, "initial.xavier")
    first, second = keys.split(key)
    layers = {
        "inputs": linear.init(first, inputs, gates * features, weight, dtype),
        "hidden": linear.init(second, features, gates * features, weight, dtype),
    }
    if cell == "lstm":
        layers["inputs"]["bias"][features : 2 * features] = 1
    return layers


def apply(
    params: Params, x: Float[Tensor, "n t i"], cell: str, state: State | None = None
) -> tuple[Float[Tensor, "n t d"], State]:
    """(h at every step, the state after the last), from a state, zeros unless given. ValueError where sizes differ."""
    check_choice("cell", cell, tuple(CELLS))
    check_keys(params, ("inputs", "hidden"))
    weights = [params[side][name] for name in ("weight", "bias") for side in ("inputs", "hidden")]
    check_floating("x", x, f"n t {weights[0].shape[1]}", "data, then steps, then features")
    check_dtype("x", x, weights[0], "the parameters")
    features, kind = weights[1].shape[1], CELLS[cell]
    if len(weights[0]) != kind.gates * features:
        raise ValueError(
            f'expected cell of {len(weights[0]) // features} gates, as the parameters are, got "{cell}", which has '
            f"{kind.gates}: name the cell they were made for"
        )
    given = (x.new_zeros(x.shape[0], features),) * kind.states if state is None else state
    if len(given) != kind.states:
        raise ValueError(f"expected state, {kind.states} tensors, got {len(given)}: pass what {cell} gave")
    for each in given:
        check_floating("state", each, f"n {features}", "one row per sequence, one column per feature")
        check_rows("state", each, x, "x")
        check_dtype("state", each, x, "x")
    out = kind.op(x, *given, *weights)
    return (out, (out[:, -1],)) if kind.states == 1 else (out[0], (out[0][:, -1], *out[1:]))

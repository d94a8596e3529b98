"""Recurrent networks over symbols (Mikolov et al., 2010; Graves, 2013): layers of one kind of cell, one over another.

Parameters are {"embedding", "start", "layers": {"0", ...}} and, unless logits are products with the embedding,
{"output"}. The memory is each layer's state: as large after a million symbols as after one.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from jensen.core import keys
from jensen.core.checks import check_choice, check_count, check_key, check_number
from jensen.core.contracts import Key
from jensen.core.models.autoregressive.sequences import Autoregressive
from jensen.core.nn import dropout, linear, recurrent
from jensen.core.nn.initial import Normal
from jensen.core.nn.recurrent import State
from jensen.core.trees import Params, check_keys

SCALE = 0.1  # of initial embeddings
Memory = tuple[State, ...]  # of each layer


@dataclass(frozen=True)
class Recurrent(Autoregressive):
    """Layers of one kind of cell, each with as many features as the embedding."""

    symbols: int
    layers: int
    features: int
    cell: str
    rate: float  # of dropout, of each layer's inputs and of the last one's outputs
    tied: bool

    def init(self, key: Key, dtype: torch.dtype = torch.float32, /) -> Params:
        """Parameters on the key's device."""
        check_key(key)
        embedding, start, output, *each = keys.split(key, 3 + self.layers)
        normal = Normal(SCALE)
        params: Params = {
            "embedding": normal(embedding, (self.symbols, self.features), dtype),
            "start": normal(start, (1, self.features), dtype)[0],
            "layers": {
                str(i): recurrent.init(k, self.cell, self.features, self.features, dtype=dtype)
                for i, k in enumerate(each)
            },
        }
        if not self.tied:
            params["output"] = linear.init(output, self.features, self.symbols, dtype=dtype)
        return params

    def read(
        self, params: Params, inputs: Float[Tensor, "n t d"], memory: Memory | None, key: Key | None = None, /
    ) -> tuple[Float[Tensor, "n t d"], Memory]:
        """The last layer's states at every position, and all layers' after the last."""
        each = [None] * (self.layers + 1) if key is None else [*keys.split(key, self.layers + 1)]
        x, states = inputs, []
        for i in range(self.layers):
            x = dropout.apply(each[i], x, self.rate)
            x, state = recurrent.apply(params["layers"][str(i)], x, self.cell, None if memory is None else memory[i])
            states.append(state)
        return dropout.apply(each[-1], x, self.rate), tuple(states)

    def output(self, params: Params, features: Float[Tensor, "n t d"], /) -> Float[Tensor, "n t v"]:
        """Logits over the symbols."""
        return features @ params["embedding"].T if self.tied else linear.apply(params["output"], features)

    def check_params(self, params: Params) -> None:
        """A KeyError unless they have the keys that the settings ask for."""
        check_keys(params, ("embedding", "start", "layers", *(() if self.tied else ("output",))))
        check_keys(params["layers"], tuple(str(i) for i in range(self.layers)))


def build(
    symbols: int, features: int = 128, layers: int = 1, cell: str = "lstm", rate: float = 0.0, tied: bool = False
) -> Recurrent:
    """`layers` of `features`, of a cell of nn.recurrent.CELLS."""
    check_choice("cell", cell, tuple(recurrent.CELLS))
    check_number("rate", rate, "[0, 1)")
    layers, features = check_count("layers", layers), check_count("features", features)
    return Recurrent(check_count("symbols", symbols, 2), layers, features, cell, rate, tied)

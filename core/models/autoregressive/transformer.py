"""The decoder-only transformer (Radford et al., 2018): blocks of causal attention over embedded symbols.

    model = transformer.build(symbols=256, features=128, layers=4, heads=4, context=128)
    params = model.init(key)
    grads = torch.func.grad(lambda p: -model.log_probs(p, x).mean())(params)

Parameters are {"embedding", "start", "blocks": {"0", ...}} and, where the settings have them, {"positions": learned
ones, "norm": after the last block, "output": logits that are not tied to the embedding}.
"""

import math
from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

from jensen.core import keys
from jensen.core.checks import check_choice, check_count, check_key, check_tensor
from jensen.core.contracts import Key
from jensen.core.models.autoregressive.sequences import Autoregressive
from jensen.core.nn import dropout, linear
from jensen.core.nn.attention import Cache, Past
from jensen.core.nn.initial import Activation, Normal
from jensen.core.nn.positions import First, placed
from jensen.core.nn.transformer import Block
from jensen.core.trees import Params, check_keys

SCALE = 0.02  # of initial weights
Memory = tuple[Past, ...]  # of each block


@dataclass(frozen=True)
class Transformer(Autoregressive):
    """Blocks of one kind; the memory is each block's cache."""

    symbols: int
    layers: int
    context: int
    block: Block
    positions: Literal["rotary", "learned", "sinusoidal"]
    tied: bool  # whether logits are products with the embedding

    @property
    def longest(self) -> int:
        """The context."""
        return self.context

    def init(self, key: Key, dtype: torch.dtype = torch.float32, /) -> Params:
        """Parameters of standard deviation SCALE, those that add to the residual path over sqrt(2 layers)."""
        check_key(key)
        embedding, start, blocks, positions, output = keys.split(key, 5)
        features, normal = self.block.features, Normal(SCALE)
        params: Params = {
            "embedding": normal(embedding, (self.symbols, features), dtype),
            "start": normal(start, (1, features), dtype)[0],
            "blocks": {
                str(i): self.block.init(k, normal, dtype) for i, k in enumerate(keys.split(blocks, self.layers))
            },
        }
        for block in params["blocks"].values():
            for layer in (block["attention"]["output"], block["output"]):
                layer["weight"] = layer["weight"] / math.sqrt(2 * self.layers)
        if self.positions == "learned":
            params["positions"] = normal(positions, (self.context, features), dtype)
        if self.block.order == "pre":
            params["norm"] = self.block.init_norm(dtype, key.device)
        if not self.tied:
            params["output"] = linear.init(output, features, self.symbols, normal, dtype)
        return params

    def read(
        self, params: Params, inputs: Float[Tensor, "n t d"], memory: Memory | None, key: Key | None = None, /
    ) -> tuple[Float[Tensor, "n t d"], Memory]:
        """The last block's outputs, and the caches. ValueError for more positions than the context.

        Of a memory of `Slots` the caller sees to it that there is room.
        """
        first = 0 if memory is None else memory[0].length
        if isinstance(first, int) and first + inputs.shape[1] > self.context:
            raise ValueError(
                f"expected at most {self.context} positions, the context, got {first + inputs.shape[1]}: "
                "cut the prompt, or train with a longer context"
            )
        each = [None] * (self.layers + 1) if key is None else [*keys.split(key, self.layers + 1)]
        turns = self.block.turns(inputs, None if memory is None else memory[0])
        x = self._placed(params, inputs, first)
        if key is not None:
            x = dropout.apply(each[-1], x, self.block.rate)
        caches = []
        for i in range(self.layers):
            cache = None if memory is None else memory[i]
            x, cache = self.block.read(params["blocks"][str(i)], x, cache, turns, each[i])
            caches.append(cache)
        return x if self.block.order == "post" else self.block.normalised(params["norm"], x), tuple(caches)

    def with_room(self, memory: Memory, length: int, /) -> Memory:
        """Caches that are written in place."""
        turns = self.block.rotation(memory[0].keys, length)
        return tuple(cache.with_room(length, turns) if isinstance(cache, Cache) else cache for cache in memory)

    def output(self, params: Params, features: Float[Tensor, "n t d"], /) -> Float[Tensor, "n t v"]:
        """Logits over the symbols."""
        return F.linear(features, params["embedding"]) if self.tied else F.linear(features, **params["output"])

    def _placed(self, params: Params, inputs: Float[Tensor, "n t d"], first: First) -> Float[Tensor, "n t d"]:
        """Inputs with their positions, where those are added."""
        if self.positions == "rotary":
            return inputs
        if self.positions == "learned":
            places = first[:, None] if isinstance(first, Tensor) else slice(first, first + inputs.shape[1])
            return inputs + params["positions"][places]
        return placed(inputs, first)

    def check_params(self, params: Params) -> None:
        """KeyError or ValueError unless they are those that the settings ask for."""
        features = self.block.features
        check_keys(params, ("embedding", "start", "blocks", *(name for name, present in self._optional if present)))
        check_keys(params["blocks"], tuple(str(i) for i in range(self.layers)))
        for name, axes in {"embedding": f"{self.symbols} {features}", "start": f"{features}"}.items():
            check_tensor(name, params[name], axes, "the parameters are those of another size")
        for block in params["blocks"].values():
            self.block.check_params(block)
        if "positions" in params:
            check_tensor("positions", params["positions"], f"{self.context} {features}", "the context is another")
        if "norm" in params:
            self.block.check_norm(params["norm"])
        if "output" in params:
            linear.check_linear(params["output"], features, self.symbols)

    @property
    def _optional(self) -> tuple[tuple[str, bool], ...]:
        return (
            ("positions", self.positions == "learned"),
            ("norm", self.block.order == "pre"),
            ("output", not self.tied),
        )


def build(
    symbols: int,
    features: int = 128,
    layers: int = 4,
    heads: int = 4,
    context: int = 128,
    hidden: int | None = None,
    positions: Literal["rotary", "learned", "sinusoidal"] = "rotary",
    order: Literal["pre", "post"] = "pre",
    norm: Literal["layer", "rms"] = "layer",
    activation: Activation = F.gelu,
    rate: float = 0.0,
    tied: bool = True,
) -> Transformer:
    """`layers` blocks of `features`; hidden: width of their perceptrons, 4 features unless given."""
    check_choice("positions", positions, ("rotary", "learned", "sinusoidal"))
    hidden = 4 * check_count("features", features) if hidden is None else hidden
    block = Block(features, heads, hidden, order, norm, activation, positions == "rotary", rate)
    layers, context = check_count("layers", layers), check_count("context", context)
    return Transformer(check_count("symbols", symbols, 2), layers, context, block, positions, tied)

"""The diffusion transformer, DiT (Peebles and Xie, 2023): a field that reads its coordinates as tokens.

    h = features of tokens + positions,    c = perceptron(waves of t)
    h = h + gate * attention((1 + scale) * norm(h) + shift)            in every block
    h = h + gate * perceptron((1 + scale) * norm(h) + shift)
    field = coordinates of (1 + scale) * norm(h) + shift

Every shift, scale and gate is a linear function of silu(c) that starts at 0 (adaLN-zero), as the last layer does: at
the start a block passes h on, and the field is 0.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

from jensen.core import keys
from jensen.core.checks import check_count, check_floating, check_key, check_sizes
from jensen.core.contracts import Key
from jensen.core.models.transport.fields import FREQUENCIES, waves
from jensen.core.models.transport.tokens import Patches, Tokens, Views
from jensen.core.nn import attention, linear, mlp
from jensen.core.nn.initial import Normal, he, xavier
from jensen.core.trees import Params, check_keys


@dataclass(frozen=True)
class Dit:
    """A transformer of tokens of x, whose blocks depend on t; its last layer starts at 0."""

    tokens: Tokens
    width: int
    layers: int
    heads: int

    @property
    def data(self) -> int:
        """How many coordinates."""
        return self.tokens.data

    def init(self, key: Key, dtype: torch.dtype = torch.float32, /) -> Params:
        """{"tokens", "positions", "time", "blocks", "last"}."""
        check_key(key)
        token_key, place_key, time_key, block_key = keys.split(key, 4)
        return {
            "tokens": self.tokens.init(token_key, self.width, dtype),
            "positions": Normal(0.02)(place_key, (self.tokens.count, self.width), dtype),
            "time": mlp.init(time_key, (2 * FREQUENCIES, self.width, self.width), he, dtype),
            "blocks": {str(i): self._block(keys.fold_in(block_key, i), dtype) for i in range(self.layers)},
            "last": self._modulation(2, dtype, key.device),
        }

    def __call__(self, params: Params, x: Float[Tensor, "... d"], t: Float[Tensor, "..."], /) -> Float[Tensor, "... d"]:
        """The field at x and times t in [0, 1], one for each point."""
        check_keys(params, ("tokens", "positions", "time", "blocks", "last"))
        check_floating("x", x, f"... {self.data}", "the last axis holds the coordinates")
        c = F.silu(mlp.apply(params["time"], waves(t).expand(*x.shape[:-1], -1), F.silu))
        h = self.tokens.read(params["tokens"], x) + params["positions"]
        for i in range(self.layers):
            h = self._applied(params["blocks"][str(i)], h, c)
        shift, scale = _modulation(params["last"], c, 2)
        return self.tokens.written(params["tokens"], _modulated(h, shift, scale))

    def _block(self, key: Key, dtype: torch.dtype) -> Params:
        first, second, third = keys.split(key, 3)
        return {
            "modulation": self._modulation(6, dtype, key.device),
            "attention": attention.init(first, self.width, xavier, dtype),
            "hidden": linear.init(second, self.width, 4 * self.width, xavier, dtype),
            "output": linear.init(third, 4 * self.width, self.width, xavier, dtype),
        }

    def _applied(self, params: Params, h: Tensor, c: Tensor) -> Tensor:
        shift, scale, gate, later_shift, later_scale, later_gate = _modulation(params["modulation"], c, 6)
        h = h + gate * attention.bidirectional(params["attention"], _modulated(h, shift, scale), self.heads)
        hidden = F.gelu(linear.apply(params["hidden"], _modulated(h, later_shift, later_scale)))
        return h + later_gate * linear.apply(params["output"], hidden)

    def _modulation(self, count: int, dtype: torch.dtype, device: torch.device) -> Params:
        """A linear layer to so many vectors of features, which starts at 0."""
        weight = torch.zeros(count * self.width, self.width, dtype=dtype, device=device)
        return {"weight": weight, "bias": torch.zeros_like(weight[:, 0])}


def image(shape: Sequence[int], patch: int, width: int = 64, layers: int = 3, heads: int = 4) -> Dit:
    """Of flat images of (channels, height, width), in squares of `patch` pixels a side.

    ValueError for a patch that does not divide the sides, and for heads that do not divide the width.
    """
    sizes, patch = check_sizes("shape", shape, length=3), check_count("patch", patch)
    if sizes[1] % patch or sizes[2] % patch:
        raise ValueError(f"expected patch that divides the sides {sizes[1]} and {sizes[2]}, got {patch}: choose one")
    return _built(Patches((sizes[0], sizes[1], sizes[2]), patch), width, layers, heads)


def vector(data: int, tokens: int, width: int = 64, layers: int = 3, heads: int = 4) -> Dit:
    """Of vectors whose coordinates have no neighbours, such as latents: each token is a view of all of them.

    ValueError for heads that do not divide the width.
    """
    return _built(Views(check_count("data", data), check_count("tokens", tokens)), width, layers, heads)


def _built(tokens: Tokens, width: int, layers: int, heads: int) -> Dit:
    width, layers, heads = check_count("width", width), check_count("layers", layers), check_count("heads", heads)
    if width % heads:
        raise ValueError(f"expected heads that divide the width {width}, got {heads}: each head has as many features")
    return Dit(tokens, width, layers, heads)


def _modulation(params: Params, c: Tensor, count: int) -> tuple[Tensor, ...]:
    """So many vectors of features, the same at every token: (..., 1, width) each."""
    return linear.apply(params, c)[..., None, :].chunk(count, -1)


def _modulated(h: Tensor, shift: Tensor, scale: Tensor) -> Tensor:
    return (1 + scale) * F.layer_norm(h, h.shape[-1:]) + shift

"""The transformer's block: causal attention and a perceptron of one hidden layer, each added to its input.

"pre"   x + f(norm(x)), whose residual path no normalisation interrupts (Xiong et al., 2020)
"post"  norm(x + f(x)), the original's (Vaswani et al., 2017)
"""

from dataclasses import dataclass
from functools import partial
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

from jensen.core import keys
from jensen.core.checks import (
    check_choice,
    check_count,
    check_dtype,
    check_floating,
    check_function,
    check_key,
    check_number,
    check_tensor,
)
from jensen.core.contracts import Key
from jensen.core.nn import attention, dropout, layer_norm, linear, rms_norm
from jensen.core.nn.attention import Past, Room
from jensen.core.nn.initial import Activation, Initialiser, xavier
from jensen.core.nn.positions import Rotation, rotation
from jensen.core.trees import Params, check_keys

NORMS = {"layer": layer_norm, "rms": rms_norm}
NORMALISED = {"layer": F.layer_norm, "rms": partial(F.rms_norm, eps=1e-5)}  # what these modules do once they checked


@dataclass(frozen=True)
class Block:
    """A block's settings; its methods are pure functions of its parameters {"attention", "hidden", "output", "norms"}.

    ValueError for heads that do not divide the features.
    """

    features: int
    heads: int
    hidden: int  # width of the perceptron
    order: Literal["pre", "post"] = "pre"
    norm: Literal["layer", "rms"] = "layer"
    activation: Activation = F.gelu
    rotary: bool = False
    rate: float = 0.0  # of dropout, of what is added to the input

    def __post_init__(self) -> None:
        for name in ("features", "heads", "hidden"):
            check_count(name, getattr(self, name))
        check_choice("order", self.order, ("pre", "post"))
        check_choice("norm", self.norm, tuple(NORMS))
        check_function("activation", self.activation, "torch.relu")
        check_number("rate", self.rate, "[0, 1)")
        if self.features % self.heads:
            raise ValueError(
                f"expected heads that divide the {self.features} features, got {self.heads}: each head has as many"
            )

    def init(self, key: Key, weight: Initialiser = xavier, dtype: torch.dtype = torch.float32) -> Params:
        """Parameters on the key's device."""
        check_key(key)
        first, second, third = keys.split(key, 3)
        return {
            "attention": attention.init(first, self.features, weight, dtype),
            "hidden": linear.init(second, self.features, self.hidden, weight, dtype),
            "output": linear.init(third, self.hidden, self.features, weight, dtype),
            "norms": {name: self.init_norm(dtype, key.device) for name in ("attention", "perceptron")},
        }

    def init_norm(self, dtype: torch.dtype = torch.float32, device: torch.device | str | None = None) -> Params:
        """Parameters of one normalisation of features."""
        return NORMS[self.norm].init(self.features, dtype, device)

    def apply(self, params: Params, x: Float[Tensor, "n t d"], key: Key | None = None) -> Float[Tensor, "n t d"]:
        """x (n, t, features) -> y of its shape; nothing is dropped for the key None."""
        return self.extend(params, x, None, key)[0]

    def extend(
        self, params: Params, x: Float[Tensor, "n t d"], cache: Past | None, key: Key | None = None
    ) -> tuple[Float[Tensor, "n t d"], Past]:
        """y of t more positions after those of `cache`, as `attention.extend`."""
        check_floating("x", x, f"n t {self.features}", "data, then positions, then features")
        self.check_params(params)
        check_dtype("x", x, params["hidden"]["weight"], "the parameters")
        return self.read(params, x, cache, self.turns(x, cache), key)

    def turns(self, x: Float[Tensor, "n t d"], cache: Past | None) -> Rotation | None:
        """The rotation of queries and keys at the positions after those of `cache`, which blocks of one kind share."""
        if isinstance(cache, Room):
            return cache.turns(x.shape[1])
        return attention.turns_after(cache, x, self.heads) if self.rotary else None

    def rotation(self, like: Tensor, length: int, first: int = 0) -> Rotation | None:
        """That of so many positions from `first` on, in the type of `like`; None for a block without."""
        return rotation(length, self.features // self.heads, first, like) if self.rotary else None

    def read(
        self, params: Params, x: Float[Tensor, "n t d"], cache: Past | None, turns: Rotation | None,
        key: Key | None = None,
    ) -> tuple[Float[Tensor, "n t d"], Past]:  # fmt: skip
        """`extend` by a rotation, without checks: within networks that have made them."""
        first, second = (None, None) if key is None or not self.rate else keys.split(key)
        norms = params["norms"]
        y, cache = attention.attend(params["attention"], self._before(norms["attention"], x), cache, self.heads, turns)
        x = self._after(norms["attention"], x + self._dropped(first, y))
        h = self.activation(F.linear(self._before(norms["perceptron"], x), **params["hidden"]))
        y = F.linear(h, **params["output"])
        return self._after(norms["perceptron"], x + self._dropped(second, y)), cache

    def normalised(self, params: Params, x: Float[Tensor, "n t d"]) -> Float[Tensor, "n t d"]:
        """Each position's features normalised, without checks."""
        return NORMALISED[self.norm](x, (self.features,), **params)

    def check_params(self, params: Params) -> None:
        """KeyError or ValueError unless they are this block's."""
        check_keys(params, ("attention", "hidden", "output", "norms"))
        attention.check_attention(params["attention"], self.features)
        linear.check_linear(params["hidden"], self.features, self.hidden)
        linear.check_linear(params["output"], self.hidden, self.features)
        check_keys(params["norms"], ("attention", "perceptron"))
        for norm in params["norms"].values():
            self.check_norm(norm)

    def check_norm(self, params: Params) -> None:
        """The same of one normalisation."""
        check_keys(params, ("weight", "bias") if self.norm == "layer" else ("weight",))
        for name, t in params.items():
            check_tensor(name, t, f"{self.features}", "the parameters are those of another size")

    def _before(self, params: Params, x: Float[Tensor, "n t d"]) -> Float[Tensor, "n t d"]:
        return self.normalised(params, x) if self.order == "pre" else x

    def _after(self, params: Params, x: Float[Tensor, "n t d"]) -> Float[Tensor, "n t d"]:
        return self.normalised(params, x) if self.order == "post" else x

    def _dropped(self, key: Key | None, x: Float[Tensor, "n t d"]) -> Float[Tensor, "n t d"]:
        return x if key is None else dropout.apply(key, x, self.rate)

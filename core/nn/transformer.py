"""The transformer's block: causal attention and a perceptron of one hidden layer, each added to its input.

"pre"   x + f(norm(x)), whose residual path no normalisation interrupts (Xiong et al., 2020)
"post"  norm(x + f(x)), the original's (Vaswani et al., 2017)
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

from jensen.core import keys
from jensen.core.checks import check_choice, check_count, check_function, check_key, check_number
from jensen.core.contracts import Key
from jensen.core.nn import attention, dropout, layer_norm, linear, rms_norm
from jensen.core.nn.attention import Cache
from jensen.core.nn.initial import Initialiser, xavier
from jensen.core.trees import Params, check_keys

NORMS = {"layer": layer_norm, "rms": rms_norm}


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
    activation: Callable[[Tensor], Tensor] = F.gelu
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
        self, params: Params, x: Float[Tensor, "n t d"], cache: Cache | None, key: Key | None = None
    ) -> tuple[Float[Tensor, "n t d"], Cache]:
        """y of t more positions after those of `cache`, as `attention.extend`."""
        check_keys(params, ("attention", "hidden", "output", "norms"))
        first, second = (None, None) if key is None or not self.rate else keys.split(key)
        norms = params["norms"]
        y, cache = attention.extend(
            params["attention"], self._before(norms["attention"], x), cache, self.heads, self.rotary
        )
        x = self._after(norms["attention"], x + dropout.apply(first, y, self.rate))
        h = self.activation(linear.apply(params["hidden"], self._before(norms["perceptron"], x)))
        y = linear.apply(params["output"], h)
        return self._after(norms["perceptron"], x + dropout.apply(second, y, self.rate)), cache

    def normalised(self, params: Params, x: Float[Tensor, "n t d"]) -> Float[Tensor, "n t d"]:
        """Each position's features normalised."""
        return NORMS[self.norm].apply(params, x)

    def _before(self, params: Params, x: Float[Tensor, "n t d"]) -> Float[Tensor, "n t d"]:
        return self.normalised(params, x) if self.order == "pre" else x

    def _after(self, params: Params, x: Float[Tensor, "n t d"]) -> Float[Tensor, "n t d"]:
        return self.normalised(params, x) if self.order == "post" else x

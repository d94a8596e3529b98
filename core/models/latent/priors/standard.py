"""The standard normal prior."""

from collections.abc import Callable
from dataclasses import dataclass

from jaxtyping import Float
from torch import Tensor

from jensen.core.contracts import Distribution, Key
from jensen.core.distributions import DiagNormal
from jensen.core.trees import Params, check_keys


@dataclass(frozen=True)
class Normal:
    """N(0, I), without parameters."""

    standard = True

    def init(self, key: Key, d: int, x: Float[Tensor, "N D"], /) -> Params:
        return {}

    def __call__(
        self, params: Params, normal: DiagNormal, posterior: Callable[[Tensor], Distribution], /
    ) -> DiagNormal:
        check_keys(params, ())
        return normal


NORMAL = Normal()

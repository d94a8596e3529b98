"""The standard normal, as a prior and by itself."""

from collections.abc import Callable
from dataclasses import dataclass

from jaxtyping import Float
from torch import Tensor

from jensen.core.checks import check_count
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


def standard_normal(like: Tensor, n: int, d: int) -> DiagNormal:
    """N(0, I) with fields (n, d), in the dtype of `like`. ValueError for n < 0."""
    zeros = like.new_zeros(()).expand(check_count("n", n, 0), d)
    return DiagNormal(zeros, zeros)


NORMAL = Normal()

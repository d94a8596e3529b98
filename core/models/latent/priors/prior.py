"""The Protocol of a prior."""

from collections.abc import Callable
from typing import Protocol, runtime_checkable

from jaxtyping import Float
from torch import Tensor

from jensen.core.checks import described
from jensen.core.contracts import Distribution, Key
from jensen.core.distributions import DiagNormal
from jensen.core.trees import Params


@runtime_checkable
class Prior(Protocol):
    """p(z) as a function of parameters of its own, and of the encoder's posterior, which some are made of.

    standard  whether it is N(0, I), of which every family of posteriors has a member
    init      own parameters for d latents, from training data; {} where it has none
    __call__  p with a row for each of n data, of N(0, I) with fields (n, d), and of x (k, D) -> q(z | x)
    """

    @property
    def standard(self) -> bool: ...
    def init(self, key: Key, d: int, x: Float[Tensor, "N D"], /) -> Params: ...
    def __call__(
        self, params: Params, normal: DiagNormal, posterior: Callable[[Tensor], Distribution], /
    ) -> Distribution: ...


def check_prior(prior: object) -> None:
    """TypeError for what is no Prior."""
    if isinstance(prior, type) or not isinstance(prior, Prior):
        raise TypeError(
            f"expected prior, such as priors.NORMAL, got {described(prior)}: "
            "write priors.parse('vamp(50)'), or another name"
        )

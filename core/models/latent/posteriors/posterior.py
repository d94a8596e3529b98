"""The Protocol of a posterior family."""

from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Float
from torch import Tensor

from jensen.core.checks import described
from jensen.core.contracts import Distribution, Key
from jensen.core.distributions import DiagNormal
from jensen.core.trees import Params


@runtime_checkable
class Posterior(Protocol):
    """q(z | x) as a function of an encoder's outputs, and of parameters of its own, which all data share.

    extra   outputs for d latents beyond the 2 d of a diagonal normal; they are 0 when training starts
    init    own parameters for d latents, {} where it has none
    prior   N(0, I), as a member of the family where their KL has a closed form
    __call__  q of the diagonal normal, fields (n, d), and the extra outputs (n, extra): at 0, with the parameters of
              `init`, it is that normal or nearly so
    """

    def extra(self, d: int, /) -> int: ...
    def init(self, key: Key, d: int, dtype: torch.dtype, /) -> Params: ...
    def prior(self, p: DiagNormal, /) -> Distribution: ...
    def __call__(self, params: Params, q: DiagNormal, extra: Float[Tensor, "n e"], /) -> Distribution: ...


def check_posterior(posterior: Posterior) -> None:
    """TypeError for what is no posterior family, such as the name or the class of one."""
    if isinstance(posterior, type) or not isinstance(posterior, Posterior):
        raise TypeError(
            f"expected posterior, such as posteriors.DIAG, got {described(posterior)}: "
            "write posteriors.parse('iaf(4)'), or another name"
        )

"""A flow run backwards."""

from typing import NamedTuple

from jaxtyping import Float
from torch import Tensor

from jensen.core.contracts import Flow


class Inverse(NamedTuple):
    """z' = flow.inverse(z): each way is the flow's other one.

    Log det     the flow's, of its inverse
    Context     the flow's
    Per datum   the flow's
    """

    flow: Flow

    def forward(
        self, z: Float[Tensor, "*s n d"], context: Tensor | None = None, /
    ) -> tuple[Float[Tensor, "*s n d"], Float[Tensor, "*s n"]]:
        return self.flow.inverse(z, context)

    def inverse(
        self, z: Float[Tensor, "*s n d"], context: Tensor | None = None, /
    ) -> tuple[Float[Tensor, "*s n d"], Float[Tensor, "*s n"]]:
        return self.flow.forward(z, context)

"""A decoder's outputs: a tensor, or its last linear layer with that layer's inputs."""

from typing import NamedTuple, TypeAlias

from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F


class Linear(NamedTuple):
    """Outputs h weight^T + bias, (s, n, D), as the layer and its inputs."""

    h: Float[Tensor, "*s n H"]
    weight: Float[Tensor, "D H"]
    bias: Float[Tensor, " D"]


Outputs: TypeAlias = Tensor | Linear  # of a decoder: (s, n, D)


def materialised(out: Outputs) -> Float[Tensor, "*s n D"]:
    """The outputs as one tensor."""
    return F.linear(*out) if isinstance(out, Linear) else out

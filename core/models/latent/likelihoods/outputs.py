"""What a decoder gives to a likelihood: its outputs, or the last linear layer that would make them."""

from typing import NamedTuple, TypeAlias

from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F


class Linear(NamedTuple):
    """Outputs h weight^T + bias, (s, n, D), that are not multiplied out yet."""

    h: Float[Tensor, "*s n H"]
    weight: Float[Tensor, "D H"]
    bias: Float[Tensor, " D"]


Outputs: TypeAlias = Tensor | Linear  # of a decoder: (s, n, D)


def materialised(out: Outputs) -> Float[Tensor, "*s n D"]:
    """The outputs as one tensor."""
    return F.linear(*out) if isinstance(out, Linear) else out

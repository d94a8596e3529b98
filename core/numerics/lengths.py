"""|x| and the lengths of vectors, with the derivatives at 0 that functions of them need.

torch's slope of |x| at 0 is 0, so that the second derivative of any function of |x| is 0 there, of an even one too; and
the second derivative of `torch.linalg.vector_norm` is NaN at 0.
"""

import torch
from jaxtyping import Float
from torch import Tensor


def size(x: Float[Tensor, "..."]) -> Float[Tensor, "..."]:
    """|x| with a slope of 1 at 0: f(|x|) with f'(0) = 0 keeps its second derivative there, and f one of its slopes."""
    return torch.where(x < 0, -x, x)


def length(t: Float[Tensor, "... d"]) -> Float[Tensor, "..."]:
    """sqrt(sum_d t^2), whose first and second derivative at 0 are 0."""
    square = t.square().sum(-1)
    none = square == 0
    return torch.where(none, 0.0, torch.sqrt(torch.where(none, 1.0, square)))

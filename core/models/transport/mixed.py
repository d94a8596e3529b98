"""A field of noise beside the noise of N(0, I), as the prior of a latent-variable model has it (Vahdat et al., 2021).

Data N(0, I) are N(0, I) at every level, and E[noise | x_t] = sqrt(1 - a_t) x_t. What a field adds to that is what is
not normal in the data: where it starts at 0, the diffusion starts as that of N(0, I).
"""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from jensen.core.checks import check_value
from jensen.core.contracts import Key
from jensen.core.models.transport.fields import Field
from jensen.core.models.transport.noise_levels import NoiseLevels
from jensen.core.trees import Params


@dataclass(frozen=True)
class Mixed:
    """sqrt(1 - a_t) x + field(x, t), with a_t of the levels that its diffusion has."""

    field: Field
    levels: NoiseLevels

    @property
    def data(self) -> int:
        """How many coordinates."""
        return self.field.data

    def init(self, key: Key, dtype: torch.dtype = torch.float32, /) -> Params:
        """The field's parameters."""
        return self.field.init(key, dtype)

    def __call__(self, params: Params, x: Float[Tensor, "... d"], t: Float[Tensor, "..."], /) -> Float[Tensor, "... d"]:
        """The noise in x at times t in (0, 1], the whole numbers of steps over their count."""
        steps = self.levels.steps
        kept = self.levels.kept().to(x)[(t * steps).round().long().clamp(1, steps) - 1]
        return (1 - kept).sqrt()[..., None] * x + self.field(params, x, t)


def build(field: Field, levels: NoiseLevels) -> Mixed:
    """The field for `diffusion.build` at the same levels."""
    check_value("field", field, Field, "fields.mlp(2)")
    check_value("levels", levels, NoiseLevels, "noise_levels.linear(1000)")
    return Mixed(field, levels)

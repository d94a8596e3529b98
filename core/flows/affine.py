"""The affine transform of each component (Dinh et al., 2017)."""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from jensen.core.flows.transform import check_parameters


@dataclass(frozen=True)
class Affine:
    """z' = shift + exp(log_scale) z with theta = (shift, t) and log_scale = 2 tanh(t / 2), so that it is at most 2.

    Parameters  2 for each component
    Reference   Dinh et al., 2017
    """

    @property
    def parameters(self) -> int:
        return 2

    def forward(
        self, theta: Float[Tensor, "... 2 d"], z: Float[Tensor, "... d"], /
    ) -> tuple[Float[Tensor, "... d"], Float[Tensor, "... d"]]:
        shift, log_scale = _parts(theta, z)
        return shift + torch.exp(log_scale) * z, log_scale

    def inverse(
        self, theta: Float[Tensor, "... 2 d"], z: Float[Tensor, "... d"], /
    ) -> tuple[Float[Tensor, "... d"], Float[Tensor, "... d"]]:
        shift, log_scale = _parts(theta, z)
        return torch.exp(-log_scale) * (z - shift), -log_scale


def _parts(theta: Tensor, z: Tensor) -> tuple[Tensor, Tensor]:
    check_parameters(theta, 2, z)
    shift, t = theta.unbind(-2)
    return shift, 2 * torch.tanh(t / 2)

"""Distributions from the top layer down, over latents whose order is from the bottom up."""

from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from jensen.core.contracts import Key, Noise
from jensen.core.distributions import Hierarchical


class TopDown(NamedTuple):
    """p(zL) ... p(z1 | z2) over z = (z1, ..., zL): a `Hierarchical` whose first layer is the last part of z.

    Support       the chain's, of its layers
    Noise         the chain's, a tuple from the top layer down
    Closed forms  none
    """

    chain: Hierarchical  # over (zL, ..., z1)

    @property
    def reparameterised(self) -> bool:
        return self.chain.reparameterised

    def noise(self, key: Key, s: int, /) -> tuple[Noise, ...]:
        """The chain's noise."""
        return self.chain.noise(key, s)

    def sample(self, noise: tuple[Noise, ...], /) -> Float[Tensor, "s n d"]:
        """zL, then each layer given those above it; differentiable where the chain's is."""
        return _reversed(self.chain.sample(noise), self.chain.sizes.value)

    def sample_and_log_prob(self, noise: tuple[Noise, ...], /) -> tuple[Float[Tensor, "s n d"], Float[Tensor, "s n"]]:
        """The sample of this noise and its log density, in nats per datum, in one pass through the conditions."""
        z, log_p = self.chain.sample_and_log_prob(noise)
        return _reversed(z, self.chain.sizes.value), log_p

    def log_prob(self, z: Float[Tensor, "... d"], /) -> Float[Tensor, "..."]:
        """log p(zL) + ... + log p(z1 | z2) in nats per datum: (s, n, d) -> (s, n)."""
        return self.chain.log_prob(_reversed(z, self.chain.sizes.value[::-1]))


def _reversed(z: Float[Tensor, "... d"], sizes: tuple[int, ...]) -> Float[Tensor, "... d"]:
    """The layers, of these sizes, in the other order."""
    return torch.cat(z.split(sizes, -1)[::-1], -1)

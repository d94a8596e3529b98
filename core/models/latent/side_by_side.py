"""Likelihoods of rows of several modalities side by side, independent given z."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from jensen.core import keys
from jensen.core.contracts import Distribution, Key, Noise
from jensen.core.models.latent.likelihoods import Likelihood, Outputs, materialised
from jensen.core.trees import Params, Static, check_keys


class SideBySide(NamedTuple):
    """The product of p_0, p_1, ... over rows (..., n, D) of one part each.

    Support       the product of theirs
    Noise         a tuple of theirs
    Closed forms  mean, where theirs have one
    """

    parts: tuple[Any, ...]  # distributions
    sizes: Static[tuple[int, ...]]  # of their events

    @classmethod
    def of(cls, parts: Sequence[Distribution], sizes: tuple[int, ...]) -> "SideBySide":
        """Of distributions of events of these sizes."""
        return cls(tuple(parts), Static(sizes))

    @property
    def reparameterised(self) -> bool:
        """Whether all are."""
        return all(p.reparameterised for p in self.parts)

    def noise(self, key: Key, s: int, /) -> tuple[Noise, ...]:
        """That of each part, by a key of its own."""
        each = keys.split(key, len(self.parts))
        return tuple(p.noise(k, s) for p, k in zip(self.parts, each, strict=True))

    def sample(self, noise: tuple[Noise, ...], /) -> Float[Tensor, "s n D"]:
        """Rows of one sample of each part."""
        return torch.cat([p.sample(of_p) for p, of_p in zip(self.parts, noise, strict=True)], -1)

    def log_prob(self, x: Float[Tensor, "... D"], /) -> Float[Tensor, "..."]:
        """The sum of the parts' log densities, in nats per datum."""
        each = x.split(list(self.sizes.value), -1)
        return torch.stack([p.log_prob(part) for p, part in zip(self.parts, each, strict=True)]).sum(0)

    def mean(self) -> Float[Tensor, "... D"]:
        """The parts' means side by side."""
        return torch.cat([p.mean() for p in self.parts], -1)


@dataclass(frozen=True)
class LikelihoodsSideBySide:
    """A likelihood for each modality; own parameters {"0", "1", ...}, one tree each."""

    parts: tuple[Likelihood, ...]
    sizes: tuple[int, ...]

    @property
    def binary(self) -> bool:
        """Whether all of x must be 0 or 1."""
        return all(part.binary for part in self.parts)

    def init(self, x: Float[Tensor, "N D"], /) -> tuple[Params, Float[Tensor, " D"]]:
        """Each likelihood's own parameters and the biases of all outputs."""
        each = [part.init(own) for part, own in zip(self.parts, x.split(list(self.sizes), -1), strict=True)]
        return {str(i): params for i, (params, _) in enumerate(each)}, torch.cat([bias for _, bias in each])

    def __call__(self, params: Params, out: Outputs, /) -> SideBySide:
        """Of outputs side by side."""
        each = materialised(out).split(list(self.sizes), -1)
        check_keys(params, tuple(str(i) for i in range(len(self.parts))))
        parts = [p(params[str(i)], own) for i, (p, own) in enumerate(zip(self.parts, each, strict=True))]
        return SideBySide.of(parts, self.sizes)

    def independent(self, x: Float[Tensor, "N D"], /) -> SideBySide:
        """Each likelihood fitted to each component of its modality alone."""
        each = zip(self.parts, x.split(list(self.sizes), -1), strict=True)
        return SideBySide.of([part.independent(own) for part, own in each], self.sizes)

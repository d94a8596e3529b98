"""A model with the posterior that an objective gives it, as the delta-VAE's."""

from dataclasses import dataclass
from typing import Protocol

from torch import Tensor

from jensen.core.contracts import Distribution, Event, Key, LatentModel
from jensen.core.objectives import Objective
from jensen.core.trees import Params


class ImageModel(LatentModel, Protocol):
    """A latent-variable model of pixels, which knows what pixels by themselves are worth."""

    def independent(self, x: Tensor, /) -> Distribution: ...


@dataclass(frozen=True)
class Adapted:
    """The model, but for `posterior`."""

    model: ImageModel
    objective: Objective

    def init(self, key: Key, x: Tensor, /) -> Params:
        return self.model.init(key, x)

    def posterior(self, params: Params, x: Tensor, /) -> Distribution:
        return self.objective.posterior(self.model.posterior(params, x))

    def prior(self, params: Params, n: int, /) -> Distribution:
        return self.model.prior(params, n)

    def likelihood(self, params: Params, z: Event, /) -> Distribution:
        return self.model.likelihood(params, z)

    def log_prior(self, params: Params, z: Event, /) -> Tensor:
        return self.model.log_prior(params, z)

    def log_joint(self, params: Params, x: Tensor, z: Event, /) -> Tensor:
        return self.model.log_joint(params, x, z)

    def independent(self, x: Tensor, /) -> Distribution:
        return self.model.independent(x)

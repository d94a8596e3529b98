"""A model with the posterior that an objective gives it, as the delta-VAE's."""

from dataclasses import dataclass
from typing import Protocol

from torch import Tensor

from jensen.core.contracts import Amortised, Distribution, Event, Key, LatentModel, can
from jensen.core.objectives import Objective
from jensen.core.trees import Params


class ImageModel(LatentModel, Protocol):
    """A latent-variable model of pixels, which knows what pixels by themselves are worth."""

    def independent(self, x: Tensor, /) -> Distribution: ...


class AmortisedImageModel(Amortised, ImageModel, Protocol):
    """A latent-variable model of pixels whose q is built from an encoder's outputs."""


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


@dataclass(frozen=True)
class AdaptedAmortised(Adapted):
    """The same of a model whose q is built from an encoder's outputs."""

    model: AmortisedImageModel

    def encoded(self, params: Params, x: Tensor, /) -> Tensor:
        return self.model.encoded(params, x)

    def posterior_of(self, params: Params, outputs: Tensor, /) -> Distribution:
        return self.objective.posterior(self.model.posterior_of(params, outputs))

    def units(self, outputs: Tensor, /) -> Tensor:
        return self.model.units(outputs)


def adapted(model: ImageModel, objective: Objective) -> Adapted:
    """The model with the objective's posterior, and all that it is capable of."""
    return AdaptedAmortised(model, objective) if can(model, Amortised) else Adapted(model, objective)

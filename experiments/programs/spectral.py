"""A VAE whose weights have a bounded spectral norm (Miyato et al., 2018)."""

from dataclasses import dataclass

from torch import Tensor

from jensen.core import keys, trees
from jensen.core.contracts import Distribution, Event, Key
from jensen.core.flows import spectral
from jensen.core.trees import Params
from jensen.experiments.programs.adapted import AmortisedImageModel

ITERATIONS = 30  # of power iteration, from one direction in every call: the norm is a little underestimated


@dataclass(frozen=True)
class Spectral:
    """The model with W limit / sigma in place of each weight W of its networks whose largest singular value is above.

    So its functions change no state, and what is evaluated is what was trained.
    """

    model: AmortisedImageModel
    limit: float

    def init(self, key: Key, x: Tensor, /) -> Params:
        return self.model.init(key, x)

    def encoded(self, params: Params, x: Tensor, /) -> Tensor:
        return self.model.encoded(self._bounded(params), x)

    def posterior_of(self, params: Params, outputs: Tensor, /) -> Distribution:
        return self.model.posterior_of(self._bounded(params), outputs)

    def units(self, outputs: Tensor, /) -> Tensor:
        return self.model.units(outputs)

    def posterior(self, params: Params, x: Tensor, /) -> Distribution:
        return self.model.posterior(self._bounded(params), x)

    def prior(self, params: Params, n: int, /) -> Distribution:
        return self.model.prior(self._bounded(params), n)

    def likelihood(self, params: Params, z: Event, /) -> Distribution:
        return self.model.likelihood(self._bounded(params), z)

    def log_prior(self, params: Params, z: Event, /) -> Tensor:
        return self.model.log_prior(self._bounded(params), z)

    def log_joint(self, params: Params, x: Tensor, z: Event, /) -> Tensor:
        return self.model.log_joint(self._bounded(params), x, z)

    def independent(self, x: Tensor, /) -> Distribution:
        return self.model.independent(x)

    def _bounded(self, params: Params) -> Params:
        return {**params, **{side: trees.map(self._weight, params[side]) for side in ("encoder", "decoder")}}

    def _weight(self, leaf: Tensor) -> Tensor:
        if leaf.ndim < 2:
            return leaf
        matrix = leaf.flatten(1)  # of a convolution, one output's kernel a row
        u = spectral.start(keys.key(0, leaf.device), matrix.detach(), ITERATIONS)
        return spectral.normalised(matrix, u, self.limit)[0].reshape(leaf.shape)

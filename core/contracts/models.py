"""Protocols of models: of latent variables, and of densities."""

from typing import Protocol, runtime_checkable

from torch import Tensor

from jensen.core.contracts.distributions import Distribution
from jensen.core.contracts.types import Event, Key
from jensen.core.trees import Params


@runtime_checkable
class LatentModel(Protocol):
    """p(x, z) and q(z | x), as functions of one tree of parameters whose structure only the model knows.

    `init` takes training data x (N, *event), whose statistics may decide where the parameters start. `prior` and
    `likelihood` are distributions with rows for n data, or for (s, n) samples of z; `log_joint` is
    log_prior + likelihood.log_prob(x), (s, n).
    """

    def init(self, key: Key, x: Tensor, /) -> Params: ...
    def posterior(self, params: Params, x: Tensor, /) -> Distribution: ...
    def prior(self, params: Params, n: int, /) -> Distribution: ...
    def likelihood(self, params: Params, z: Event, /) -> Distribution: ...
    def log_prior(self, params: Params, z: Event, /) -> Tensor: ...
    def log_joint(self, params: Params, x: Tensor, z: Event, /) -> Tensor: ...


@runtime_checkable
class Amortised(LatentModel, Protocol):
    """A model whose posterior(params, x) is posterior_of(params, encoded(params, x)).

    `encoded` gives a row of numbers per datum, (n, e), which may have any real values; `units` is what each of them is
    moved in, (n, e), such as standard deviations for a mean. The encoder's parameters are params["encoder"].
    """

    def encoded(self, params: Params, x: Tensor, /) -> Tensor: ...
    def posterior_of(self, params: Params, outputs: Tensor, /) -> Distribution: ...
    def units(self, outputs: Tensor, /) -> Tensor: ...


@runtime_checkable
class DensityModel(Protocol):
    """p(x) itself, whose values and draws are exact, as functions of one tree of parameters.

    `init` takes training data x (N, *event), whose statistics may decide where the parameters start. `log_prob` is in
    nats per datum, (n,); the i-th draw of `sample` is the one that keys.at(key, datum=i) gives alone.
    """

    def init(self, key: Key, x: Tensor, /) -> Params: ...
    def log_prob(self, params: Params, x: Tensor, /) -> Tensor: ...
    def sample(self, params: Params, key: Key, n: int, /) -> Tensor: ...

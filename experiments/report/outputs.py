"""q as a function of its encoder's outputs alone, for fits to single data: what all data share is no field of it."""

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

from torch import Tensor

from jensen.core.contracts import Amortised, Distribution, Event, Key, LatentModel, Noise, can
from jensen.core.distributions import sample_and_log_prob, sample_and_score
from jensen.core.trees import Params, Static


class FromOutputs(NamedTuple):
    """build(outputs), outputs (n, e): a reparameterised q."""

    outputs: Tensor
    build: Static[Callable[[Tensor], Distribution]]

    reparameterised = True

    @property
    def q(self) -> Distribution:
        return self.build.value(self.outputs)

    def noise(self, key: Key, s: int, /) -> Noise:
        return self.q.noise(key, s)

    def sample(self, noise: Noise, /) -> Event:
        return self.q.sample(noise)

    def log_prob(self, z: Event, /) -> Tensor:
        return self.q.log_prob(z)

    def sample_and_log_prob(self, noise: Noise, /) -> tuple[Event, Tensor]:
        return sample_and_log_prob(self.q, noise)

    def sample_and_score(self, noise: Noise, /) -> tuple[Event, Tensor, Event]:
        return sample_and_score(self.q, noise)


def own(model: LatentModel, params: Params, x: Tensor) -> Distribution:
    """The posterior of x, whose fields are the encoder's outputs where the model has some."""
    if not can(model, Amortised):
        return model.posterior(params, x)
    return FromOutputs(model.encoded(params, x), Static(partial(model.posterior_of, params)))

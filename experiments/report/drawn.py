"""A posterior with samples of its own, whose densities are known from the way to them."""

from typing import NamedTuple

from torch import Tensor

from jensen.core.contracts import ClosedForm, Distribution, Event, Key, Noise, can
from jensen.core.distributions import sample_and_log_prob


class AtSamples(NamedTuple):
    """q, whose `log_prob` is known at the samples that it came with, and is of no others: a flow is not inverted."""

    q: Distribution
    log_q: Tensor  # (s, n)

    @property
    def reparameterised(self) -> bool:
        return self.q.reparameterised

    def noise(self, key: Key, s: int, /) -> Noise:
        return self.q.noise(key, s)

    def sample(self, noise: Noise, /) -> Event:
        return self.q.sample(noise)

    def log_prob(self, z: Event, /) -> Tensor:
        return self.log_q


def drawn(q: Distribution, noise: Noise) -> tuple[Distribution, Event]:
    """q with its samples of this noise: itself where its KL has a closed form or its samples no path."""
    if can(q, ClosedForm) or not q.reparameterised:
        return q, q.sample(noise)
    z, log_q = sample_and_log_prob(q, noise)
    return AtSamples(q, log_q), z

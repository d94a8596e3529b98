"""Samples with their log density, at once where the distribution can."""

from torch import Tensor

from jensen.core.contracts import Distribution, Drawable, Event, Key, can


def draw(q: Distribution, key: Key, s: int) -> tuple[Event, Tensor]:
    """(z, log q(z)): (s, n, *event) and (s, n), in nats per datum, of the noise at the key's place.

    The same as z = q.sample(q.noise(key, s)) and q.log_prob(z), up to rounding: a `Drawable` makes both in one pass,
    and stores no noise on its way.
    """
    if can(q, Drawable):
        return q.draw(key, s)
    z = q.sample(q.noise(key, s))
    return z, q.log_prob(z)

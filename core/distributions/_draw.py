"""Samples together with their log density."""

from torch import Tensor

from jensen.core.checks import check_count, check_distribution, check_key
from jensen.core.contracts import Distribution, Drawable, Event, Key, can


def draw(q: Distribution, key: Key, s: int) -> tuple[Event, Tensor]:
    """(z, log q(z)): (s, n, *event) and (s, n), in nats per datum.

    Equal to z = q.sample(q.noise(key, s)) and q.log_prob(z) up to rounding; a `Drawable` computes both in one pass,
    without storing the noise.
    """
    check_distribution("q", q)
    check_key(key)
    s = check_count("s", s)
    if can(q, Drawable):
        return q.draw(key, s)
    z = q.sample(q.noise(key, s))
    return z, q.log_prob(z)

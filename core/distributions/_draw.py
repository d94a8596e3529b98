"""Samples together with their log density, and with its gradient at them."""

import torch
from torch import Tensor

from jensen.core import trees
from jensen.core.checks import check_count, check_distribution, check_key
from jensen.core.contracts import Distribution, Drawable, Event, Key, Noise, OnePass, Scored, can


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
    return sample_and_log_prob(q, q.noise(key, s))


def sample_and_log_prob(q: Distribution, noise: Noise) -> tuple[Event, Tensor]:
    """(z, log q(z)) of this noise: (s, n, *event) and (s, n), in nats per datum.

    Equal to z = q.sample(noise) and q.log_prob(z) up to rounding, in value and gradient; a `OnePass` computes both in
    one pass, such as a flow without its inverse.
    """
    check_distribution("q", q)
    return q.sample_and_log_prob(noise) if can(q, OnePass) else sample_then_log_prob(q, noise)


def sample_and_score(q: Distribution, noise: Noise) -> tuple[Event, Tensor, Event]:
    """(z, log q(z), the gradient of log q(z) in z) of this noise: (s, n, *event), (s, n) in nats, and as z.

    The first two are those of `sample_and_log_prob`; the last is detached. TypeError for a q that is not
    reparameterised.
    """
    check_distribution("q", q)
    if not q.reparameterised:
        raise TypeError(f"expected a reparameterised q, got {type(q).__name__}: its log masses have no gradient in z")
    if can(q, Scored):
        return q.sample_and_score(noise)
    z, log_q = sample_and_log_prob(q, noise)
    stopped = trees.stop(q)
    return z, log_q, trees.stop(torch.func.grad(lambda z: stopped.log_prob(z).sum())(trees.stop(z)))


def sample_then_log_prob(q: Distribution, noise: Noise, /) -> tuple[Event, Tensor]:
    """(z, log q(z)) of this noise, (s, n, *event) and (s, n), in nats per datum: the method of most families."""
    z = q.sample(noise)
    return z, q.log_prob(z)

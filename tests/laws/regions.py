"""Where a density is compared with its samples: boxes of continuous values, single values of discrete ones.

Regions are chosen from samples of their own, so that those they are tried on are independent of them.
"""

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

from jensen.core import keys, trees
from jensen.core.contracts import Distribution, Event

PILOT = keys.key(21)
LEAST, MOST = 0.02, 0.98  # quantiles
VALUES, SIDES = 4, 3  # most frequent values; components whose tails are looked at


def flat(z: Event) -> Tensor:
    """(s, n, all components)."""
    return torch.cat([t.reshape(*t.shape[:2], -1) for t in trees.leaves(z)], -1)


class Values(NamedTuple):
    """The most frequent values of each datum, (m, n, *event)."""

    values: Event

    def excess(self, q: Distribution, key: Tensor, s: int) -> Tensor:
        """Indicators of z = v less P(v), (s, m, n): their mean is 0."""
        found = (flat(q.sample(q.noise(key, s)))[:, None] == flat(self.values)).all(-1)
        return found.double() - q.log_prob(self.values).double().exp()


class Boxes(NamedTuple):
    """Boxes of the free components: lower and upper (m, n, free), and how their points become events."""

    lower: Tensor
    upper: Tensor
    event: Callable[[Tensor], Event]
    on_simplex: bool

    def excess(self, q: Distribution, key: Tensor, s: int) -> Tensor:
        """Indicators of z in A less volume times density at a uniform point of A, (s, m, n): their mean is 0."""
        sampling, placing = keys.split(key)
        z = flat(q.sample(q.noise(sampling, s))).double()[:, None, :, : self.lower.shape[-1]]
        inside = ((z >= self.lower) & (z <= self.upper)).all(-1).double()
        m, n, free = self.lower.shape
        u = keys.uniform(placing, (s, m * n, free), torch.float64).reshape(s, m, n, free)
        points = (self.lower + u * (self.upper - self.lower)).reshape(s * m, n, free)
        log_q = q.log_prob(self.event(points)).double().reshape(s, m, n)
        if self.on_simplex:  # its boxes hold points whose last component would be negative
            log_q = torch.where(points.sum(-1).reshape(s, m, n) < 1, log_q, -torch.inf)
        return inside - (self.upper - self.lower).prod(-1) * log_q.exp()


def values(q: Distribution) -> Values:
    """The most frequent values of a discrete distribution."""
    z = q.sample(q.noise(PILOT, 1000))
    places = []
    for column in flat(z).unbind(1):
        _, inverse, counts = column.unique(dim=0, return_inverse=True, return_counts=True)
        often = counts.argsort(descending=True, stable=True)
        places.append([int((inverse == often[i % len(often)]).nonzero()[0, 0]) for i in range(VALUES)])
    index = torch.tensor(places).T
    return Values(trees.map(lambda t: t[index, torch.arange(t.shape[1])], z))


def boxes(q: Distribution, inside: bool) -> Boxes:
    """Boxes between quantiles, or beyond them: one component in a tail, the others in their middle.

    Of an event that sums to one all components but the last are free, and its density is that of the free ones.
    """
    z = q.sample(q.noise(PILOT, 1000))
    components = flat(z).double()
    whole = components.shape[-1]
    simplex = whole > 1 and bool(((components.sum(-1) - 1).abs() < 1e-4).all())
    free = components[..., : whole - simplex]
    low, middle, high = (free.quantile(p, dim=0) for p in (LEAST, 0.5, MOST))
    width = high - low
    if inside:
        lower, upper = torch.stack([low, middle, low]), torch.stack([middle, high, high])
        return Boxes(lower, upper, _event(z, simplex), simplex)
    sides = []
    for j in range(min(free.shape[-1], SIDES)):
        tail = torch.arange(free.shape[-1]) == j
        sides.append((torch.where(tail, free.amin(0) - width, low), torch.where(tail, low, high)))
        sides.append((torch.where(tail, high, low), torch.where(tail, free.amax(0) + width, high)))
    lower, upper = (torch.stack(side) for side in zip(*sides, strict=True))
    return Boxes(lower, upper, _event(z, simplex), False)


def _event(like: Event, simplex: bool) -> Callable[[Tensor], Event]:
    """Points (s, n, free) as events of the same shape and type."""
    sizes = [t[0, 0].numel() for t in trees.leaves(like)]

    def event(points: Tensor) -> Event:
        if simplex:
            points = torch.cat([points, 1 - points.sum(-1, keepdim=True)], -1)
        parts = iter(points.split(sizes, -1))
        return trees.map(lambda t: next(parts).reshape(*points.shape[:2], *t.shape[2:]).to(t.dtype), like)

    return event


def is_discrete(q: Distribution) -> bool:
    """Whether every component of every sample is a whole number."""
    z = flat(q.sample(q.noise(PILOT, 100)))
    return bool((z == z.round()).all())

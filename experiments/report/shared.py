"""Work on many data or many particles, shared among the ranks of a command: to rounding what one of them finds alone.

Draws are functions of a key, a datum and a particle, so that no part of the work needs to know of another.
"""

import time
from collections.abc import Callable
from datetime import timedelta

from torch import Tensor

from jensen.core import keys, trees
from jensen.core.contracts import Key
from jensen.core.trees import Tree
from jensen.experiments.run.ranks import Ranks

LEAST = 20.0  # s that a rank is waited for
LONGER = 0.5  # the share of the time that its own part took a rank which it waits for others


def over_data(f: Callable[[slice, Key], Tree], n: int, key: Key, ranks: Ranks) -> Tree:
    """f(places, key) of n data, a tree with a row for each: every rank has all rows."""
    return _shared(lambda start, stop: f(slice(start, stop), keys.at(key, datum=start)), n, ranks)


def over_particles(f: Callable[[int, Key], Tensor], k: int, key: Key, ranks: Ranks) -> Tensor:
    """f(s, key) of k particles, (s, ...): every rank has all (k, ...)."""
    return _shared(lambda start, stop: f(stop - start, keys.at(key, particle=start)), k, ranks)


def _shared(f: Callable[[int, int], Tree], n: int, ranks: Ranks) -> Tree:
    began = time.monotonic()
    start, stop = ranks.part(n)
    own = f(start, max(stop, start + 1))  # a rank without any finds one's rows, which are not taken
    ranks.meet(timedelta(seconds=max(LEAST, LONGER * (time.monotonic() - began))))
    return ranks.gather(trees.map(lambda t: t[: stop - start], own), n)

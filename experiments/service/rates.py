"""How much each client may ask for: a bucket of tokens, which a request takes one of and time refills."""

import time
from collections import OrderedDict
from collections.abc import Callable
from math import ceil, floor
from typing import NamedTuple

CLIENTS = 10_000
NAME = '"requests"'


class Taken(NamedTuple):
    """Whether a request may go on: at once, or after `wait` seconds; and the headers of its reply, which say so."""

    wait: float
    headers: dict[str, str]


class Rates:
    """Token buckets of `burst` requests that refill at `rate` a second, one for each client.

    A bucket is one number, the time at which it is full again, and a request puts that off by 1 / rate: the generic
    cell rate algorithm. Of more than `most` clients the one that has asked least recently is forgotten.
    """

    def __init__(self, rate: float, burst: int, most: int = CLIENTS, clock: Callable[[], float] = time.monotonic):
        self._rate, self._burst, self._most, self._clock = rate, burst, most, clock
        self._full: OrderedDict[str, float] = OrderedDict()

    def __len__(self) -> int:
        """Clients that are remembered."""
        return len(self._full)

    def take(self, client: str) -> Taken:
        """A token of the client's, if there is one.

        The headers are RateLimit-Policy, with the quota and the seconds that it takes to refill, and RateLimit, with
        the requests left and the seconds until the quota is whole (draft-ietf-httpapi-ratelimit-headers-10).
        """
        now = self._clock()
        full = max(self._full.pop(client, now), now)
        left = self._burst - (full - now) * self._rate
        wait = max(1 - left, 0.0) / self._rate
        if not wait:
            full, left = full + 1 / self._rate, left - 1
        self._full[client] = full
        if len(self._full) > self._most:
            self._full.popitem(last=False)
        return Taken(wait, {
            "ratelimit-policy": f"{NAME};q={self._burst};w={ceil(self._burst / self._rate)}",
            "ratelimit": f"{NAME};r={floor(left)};t={ceil(full - now)}",
        })  # fmt: skip

"""A circuit breaker: a model that fails again and again is left alone for a while."""

import time
from collections.abc import Callable


class Breaker:
    """Closed while batches succeed; open after `failures` in a row, until one succeeds after `cooldown` seconds."""

    def __init__(self, failures: int, cooldown: float, clock: Callable[[], float] = time.monotonic):
        self._failures, self._cooldown, self._clock = failures, cooldown, clock
        self._in_a_row, self._until = 0, 0.0

    @property
    def open_for(self) -> float:
        """Seconds until a batch is tried; 0 where the circuit is closed, or a try is due."""
        return max(self._until - self._clock(), 0.0)

    def succeeded(self) -> None:
        self._in_a_row, self._until = 0, 0.0

    def failed(self) -> None:
        """A failed try opens it at once again."""
        self._in_a_row += 1
        if self._in_a_row >= self._failures:
            self._until = self._clock() + self._cooldown

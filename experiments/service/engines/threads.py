"""The engine in the front's own process: a thread for each model.

It costs no message between processes and no memory; what ends the process, or hangs for good, ends the service.
"""

import asyncio
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import count
from pathlib import Path

from jensen.experiments.deployment.loading import Function
from jensen.experiments.service.engines.reading import compute, read
from jensen.experiments.service.engines.seam import Loaded, Rows, Seat
from jensen.experiments.service.engines.worker import Worker


@dataclass(eq=False)
class Held:
    """A model's functions and the thread that calls them."""

    functions: Mapping[str, Function]
    worker: Worker
    since: float | None = None


class Threads:
    """One batch of a function at once; those of a model wait for its thread."""

    at_once = 1

    def __init__(self, width: int):
        self._width, self._held, self._keys = width, dict[str, Held](), count(1)

    async def start(self) -> None:
        pass

    async def load(self, folders: Sequence[Path]) -> list[Loaded]:
        found = [await asyncio.to_thread(read, folder, self._width) for folder in folders]
        return [self.hold(digest, functions) for digest, functions in found]

    def hold(self, digest: str, functions: Mapping[str, Function]) -> Loaded:
        """Functions of any origin."""
        key = str(next(self._keys))
        self._held[key] = Held(functions, Worker(f"inference {key}"))
        return Loaded(key, digest, {name: function.signature for name, function in functions.items()})

    async def run(self, model: Loaded, function: str, inputs: Rows) -> Rows:
        held = self._held[model.key]

        def call() -> Rows:
            held.since = time.monotonic()
            try:
                return compute(held.functions, function, inputs)
            finally:
                held.since = None

        return await held.worker.submit(call)

    async def retire(self, model: Loaded) -> None:
        self._held.pop(model.key).worker.close()

    def seats(self) -> list[Seat]:
        return [Seat(key, f"thread-{key}", held.since) for key, held in self._held.items()]

    async def close(self) -> None:
        for held in self._held.values():
            held.worker.close()
        self._held.clear()

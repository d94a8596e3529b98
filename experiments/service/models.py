"""Models in service: exports by name, each loaded by the engine, and the swap of one for another as requests go on."""

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Mapping
from functools import partial
from pathlib import Path

from jensen.experiments.service.batching import Batcher
from jensen.experiments.service.breaker import Breaker
from jensen.experiments.service.engines import Engine, Loaded
from jensen.experiments.service.errors import Refused
from jensen.experiments.service.observed import Metrics
from jensen.experiments.service.settings import Limits

NONE = "send it to one of them"


class Model:
    """The functions of one export, which its digest names. It answers between `start` and `close`."""

    def __init__(self, name: str, folder: Path, loaded: Loaded, engine: Engine, limits: Limits, metrics: Metrics):
        self.name, self.folder, self.digest, self.functions = name, folder, loaded.digest, loaded.functions
        self.in_flight = 0  # requests
        self._loaded, self._engine = loaded, engine
        self._breaker = Breaker(limits.failures, limits.cooldown)
        self.batchers = {
            each: Batcher(
                partial(engine.run, loaded, each),
                limits,
                self._breaker,
                engine.at_once,
                partial(metrics.batched, name, each),
                partial(metrics.retried, name, each),
            )
            for each in loaded.functions
        }

    @property
    def stalled(self) -> list[str]:
        """Functions whose batch runs for too long."""
        return [f"{self.name}/{name}" for name, batcher in self.batchers.items() if batcher.stalled]

    @property
    def circuit_open(self) -> bool:
        return self._breaker.open_for > 0

    def start(self) -> None:
        for batcher in self.batchers.values():
            batcher.start()

    async def retire(self) -> None:
        """Answers what it has taken on, and ends."""
        while self.in_flight:
            await asyncio.sleep(0.02)
        self.close()
        await self._engine.retire(self._loaded)

    def close(self) -> None:
        for batcher in self.batchers.values():
            batcher.close()


async def read(folders: Mapping[str, Path], engine: Engine, limits: Limits, metrics: Metrics) -> dict[str, Model]:
    """The exports in folders, by name. InputError for a folder that is no sound export."""
    loaded = await engine.load(list(folders.values()))
    return {
        name: Model(name, folder, each, engine, limits, metrics)
        for (name, folder), each in zip(folders.items(), loaded, strict=True)
    }


class Models(Mapping[str, Model]):
    """Models by name. `swap` has another export loaded; requests that are under way stay with the old one."""

    def __init__(
        self, models: Mapping[str, Model], read: Callable[[Mapping[str, Path]], Awaitable[Mapping[str, Model]]]
    ):
        self._models, self._read = dict(models), read
        self._lock = asyncio.Lock()
        self._retiring: set[asyncio.Task[None]] = set()

    def __getitem__(self, name: str) -> Model:
        if name not in self._models:
            raise Refused(404, f"there is no such model, but {', '.join(self._models)}", "model", NONE)
        return self._models[name]

    def __contains__(self, name: object) -> bool:
        return name in self._models

    def __iter__(self) -> Iterator[str]:
        return iter(self._models)

    def __len__(self) -> int:
        return len(self._models)

    def start(self) -> None:
        for model in self._models.values():
            model.start()

    def close(self) -> None:
        for model in self._models.values():
            model.close()

    async def swap(self, name: str, folder: Path) -> Model:
        """The new model of that name, which answers from now on. InputError leaves the old one where it is."""
        async with self._lock:
            new = (await self._read({name: folder}))[name]
            new.start()
            old = self._models.get(name)
            self._models[name] = new
        if old is not None:
            task = asyncio.create_task(old.retire())
            self._retiring.add(task)
            task.add_done_callback(self._retiring.discard)
        return new

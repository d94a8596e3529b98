"""Models in service: exports by name and version, which the engine computes, put in and taken out as requests go on."""

import asyncio
from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from jensen.experiments.service.batching import Batcher
from jensen.experiments.service.breaker import Breaker
from jensen.experiments.service.engines import Engine, Loaded
from jensen.experiments.service.errors import Refused
from jensen.experiments.service.generation import GENERATE, PREFILL, STEP, Generator, generator
from jensen.experiments.service.observed import Metrics
from jensen.experiments.service.settings import Limits

NONE = "send it to one of them"


class Version(NamedTuple):
    """A name, and which of those that have it; the highest number answers where none is asked for."""

    name: str
    number: int = 1

    def __str__(self) -> str:
        return f"{self.name}@{self.number}"


class Model:
    """The functions of one export, which its digest names. It answers between `start` and `close`."""

    def __init__(
        self, version: Version, folder: Path, loaded: Loaded, engine: Engine, limits: Limits, metrics: Metrics
    ):
        self.version, self.folder, self.digest = version, folder, loaded.digest
        self.in_flight = 0  # requests
        self._loaded, self._engine = loaded, engine
        self._breaker = Breaker(limits.failures, limits.cooldown)
        self.generator = generator(
            folder,
            loaded,
            partial(engine.run, loaded),
            limits,
            self._breaker,
            partial(metrics.batched, *self.labels(GENERATE)),
            partial(metrics.retried, *self.labels(GENERATE)),
        )
        own = () if self.generator is None else (STEP, PREFILL)  # that it calls itself
        self.functions = {name: each for name, each in loaded.functions.items() if name not in own}
        self.batchers = {
            each: Batcher(
                partial(engine.run, loaded, each),
                limits,
                self._breaker,
                engine.at_once,
                partial(metrics.batched, *self.labels(each)),
                partial(metrics.retried, *self.labels(each)),
            )
            for each in self.functions
        }

    @property
    def names(self) -> list[str]:
        """What may be asked of it."""
        return [*self.functions, *([] if self.generator is None else [GENERATE])]

    @property
    def queues(self) -> "dict[str, Batcher | Generator]":
        """By the same names."""
        return {**self.batchers, **({} if self.generator is None else {GENERATE: self.generator})}

    @property
    def head(self) -> dict[str, Any]:
        """What a reply says of who has computed it."""
        return {"model": self.version.name, "version": self.version.number, "digest": self.digest}

    def labels(self, function: str) -> tuple[str, str, str]:
        """Of metrics."""
        return self.version.name, str(self.version.number), function

    @property
    def stalled(self) -> list[str]:
        """Functions whose batch runs for too long."""
        return [f"{self.version}/{name}" for name, queue in self.queues.items() if queue.stalled]

    @property
    def circuit_open(self) -> bool:
        return self._breaker.open_for > 0

    def start(self) -> None:
        for queue in self.queues.values():
            queue.start()

    async def retire(self) -> None:
        """Answers what it has taken on, and ends."""
        while self.in_flight:
            await asyncio.sleep(0.02)
        self.close()
        await self._engine.retire(self._loaded)

    def close(self) -> None:
        for queue in self.queues.values():
            queue.close()


class Models(Mapping[str, Model]):
    """By name, of which the newest version answers. Requests under way stay with the model that they were sent to."""

    def __init__(self, engine: Engine, limits: Limits, metrics: Metrics):
        self.engine = engine  # that has loaded every model
        self.made = partial(Model, engine=engine, limits=limits, metrics=metrics)
        self._models: dict[Version, Model] = {}
        self._lock = asyncio.Lock()
        self._retiring: set[asyncio.Task[None]] = set()

    def __getitem__(self, name: str) -> Model:
        return self._models[Version(name, self.numbers(name)[-1])]

    def __contains__(self, name: object) -> bool:
        return any(version.name == name for version in self._models)

    def __iter__(self) -> Iterator[str]:
        return iter(dict.fromkeys(version.name for version in self._models))

    def __len__(self) -> int:
        return len(list(iter(self)))

    @property
    def every(self) -> list[Model]:
        """Of all versions."""
        return list(self._models.values())

    def numbers(self, name: str) -> list[int]:
        """The versions of a name. Refused, 404, where there is none."""
        found = sorted(version.number for version in self._models if version.name == name)
        if not found:
            raise Refused(404, f"there is no such model, but {', '.join(self)}", "model", NONE)
        return found

    def version(self, name: str, number: str) -> Model:
        """One of them. Refused, 404, where there is none."""
        found = self.numbers(name)
        if number not in map(str, found):
            raise Refused(404, f"{name} has no such version, but {', '.join(map(str, found))}", "version", NONE)
        return self._models[Version(name, int(number))]

    async def load(self, folders: Mapping[Version, Path]) -> list[Model]:
        """Exports, which answer from now on, each in the place of what there was under its name and version.

        Raises:
            InputError: a folder is no sound export; all stay as they were.
        """
        async with self._lock:
            loaded = await self.engine.load(list(folders.values()))
            models = [self.made(*named, each) for named, each in zip(folders.items(), loaded, strict=True)]
            for model in models:
                self.put(model)
        return models

    def put(self, model: Model) -> None:
        """A model answers, and one that it replaces ends after what it has taken on."""
        model.start()
        old = self._models.get(model.version)
        self._models[model.version] = model
        if old is not None:
            self._leave(old)

    def take(self, model: Model) -> None:
        """A model ends after what it has taken on."""
        if self._models.get(model.version) is model:
            del self._models[model.version]
            self._leave(model)

    def close(self) -> None:
        for task in tuple(self._retiring):
            task.cancel()
        for model in self._models.values():
            model.close()

    def _leave(self, model: Model) -> None:
        task = asyncio.get_running_loop().create_task(model.retire())
        self._retiring.add(task)
        task.add_done_callback(self._retiring.discard)

"""Models in service: exports by name, each with a thread, and the swap of one for another while requests go on."""

import asyncio
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import torch

from jensen.experiments.deployment import load
from jensen.experiments.deployment.loading import Function
from jensen.experiments.deployment.manifest import MANIFEST
from jensen.experiments.run import files
from jensen.experiments.run.errors import InputError, reason
from jensen.experiments.service.batching import Batcher
from jensen.experiments.service.breaker import Breaker
from jensen.experiments.service.errors import Refused
from jensen.experiments.service.settings import Limits
from jensen.experiments.service.worker import Worker

NONE = "send it to one of them"
Watch = Callable[[str, str, int], object]  # of a model, a function and the rows of a batch


class Model:
    """The functions of one export, which its digest names. It answers between `start` and `close`."""

    def __init__(
        self,
        name: str,
        folder: Path,
        digest: str,
        functions: Mapping[str, Function],
        limits: Limits,
        watch: Watch = lambda model, function, rows: None,
        calls: Mapping[str, Callable[..., Any]] | None = None,
    ):
        """calls: in place of the functions' own, by name."""
        self.name, self.folder, self.digest, self.functions = name, folder, digest, functions
        self.in_flight = 0  # requests
        self._worker, self._breaker = Worker(f"inference of {name}"), Breaker(limits.failures, limits.cooldown)
        self.batchers = {
            each: Batcher(
                (calls or {}).get(each, function.unchecked),
                limits,
                self._worker,
                self._breaker,
                lambda rows, each=each: watch(name, each, rows),
            )
            for each, function in functions.items()
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

    def close(self) -> None:
        for batcher in self.batchers.values():
            batcher.close()
        self._worker.close()


def read(name: str, folder: Path, limits: Limits, watch: Watch) -> Model:
    """The export in a folder, whose every function has run once. InputError for a folder that is no sound export."""
    path = folder / MANIFEST
    if not path.is_file():
        raise InputError(f"{folder} holds no export: pass the folder that has its {MANIFEST}")
    digest = files.read(path, files.digest, "export the run again")
    functions = load(folder, digest=digest).functions
    for each, function in functions.items():
        try:
            function.unchecked(*(_example(function, i, limits.width) for i in range(len(function.inputs))))
        except Exception as error:
            raise InputError(f"{folder} cannot compute {each} ({reason(error)}): export the run again") from error
    return Model(name, folder, digest, functions, limits, watch)


def _example(function: Function, i: int, rows: int) -> torch.Tensor:
    argument = function.inputs[i]
    low = 0 if argument.low is None else argument.low
    return torch.full((rows, *argument.shape), low, dtype=getattr(torch, argument.dtype))


class Models(Mapping[str, Model]):
    """Models by name. `swap` reads another export in a thread; requests that are under way stay with the old one."""

    def __init__(self, models: Mapping[str, Model], read: Callable[[str, Path], Model]):
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
            new = await asyncio.to_thread(self._read, name, folder)
            new.start()
            old = self._models.get(name)
            self._models[name] = new
        if old is not None:
            task = asyncio.create_task(old.retire())
            self._retiring.add(task)
            task.add_done_callback(self._retiring.discard)
        return new

"""The engine of Ray: replicas of every model on the machines of a cluster, each an actor with a process of its own.

One that ends or hangs is replaced, which takes the seconds of a start; its batch is lost to the front, which tries it
again on another. Exports cross once, as files in Ray's store, so that machines need not share a disk and a replica that
starts later has what was loaded.
"""

import asyncio
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any

from jensen.experiments.deployment.manifest import Manifest
from jensen.experiments.run.cluster import cluster
from jensen.experiments.run.errors import InputError, reason
from jensen.experiments.service.engines.actor import Actor
from jensen.experiments.service.engines.replica import Files, packed
from jensen.experiments.service.engines.seam import Loaded, LostWorkerError, Rows, Seat

PATIENCE = 120.0  # seconds for a replica to start, and to load an export
PAUSE = 0.5  # seconds between tries to start what does not start


@dataclass(eq=False)
class Place:
    """A seat, and who is there."""

    name: str
    actor: Actor | None = None
    lost: int = 0


class Replicas:
    """As many workers, each with a batch at a time. One that has no result after `stall` seconds is ended.

    threads: torch's in a worker, which takes as many CPUs; log: is given events and their values; address: of a
    cluster that this machine is of; one of this machine alone unless given.
    """

    def __init__(self, width: int, workers: int, threads: int = 1, stall: float = 5.0,
                 log: Callable[..., object] = lambda event, **values: None, address: str | None = None):  # fmt: skip
        self.at_once, self._stall, self._log, self._address = workers, stall, log, address
        self._given = {"width": width, "threads": threads}
        self._places = [Place(f"worker-{i}") for i in range(workers)]
        self._idle = asyncio.Queue[Actor]()
        self._models: dict[str, tuple[str, Any]] = {}  # their digests, and Ray's references to their files, by key
        self._keys, self._lock, self._tasks = count(1), asyncio.Lock(), set[asyncio.Task[Any]]()
        self._stack = ExitStack()

    async def start(self) -> None:
        """InputError where the cluster has no room for as many replicas."""
        self._ray = await asyncio.to_thread(self._stack.enter_context, cluster("--engine ray", self._address))
        cpus, wanted = int(self._ray.cluster_resources().get("CPU", 0)), self.at_once * self._given["threads"]
        if wanted > cpus:
            await self.close()
            raise InputError(f"expected --workers times --threads of at most {cpus} CPUs, got {wanted}: lower them")
        ready = [asyncio.Event() for _ in self._places]
        for place, event in zip(self._places, ready, strict=True):
            self._keep(self._kept(place, event))
        try:
            async with asyncio.timeout(PATIENCE):
                await asyncio.gather(*(event.wait() for event in ready))
        except TimeoutError:
            await self.close()
            raise InputError(f"{self.at_once} workers did not start in {PATIENCE:g} s: lower --workers") from None

    async def load(self, folders: Sequence[Path]) -> list[Loaded]:
        """By every replica, beside what it has and while it computes; one tries before the others."""
        exports = [(folder, *await asyncio.to_thread(packed, folder)) for folder in folders]
        while True:
            async with self._lock:
                if self._present():
                    return await self._loaded(exports)
            await asyncio.sleep(PAUSE)

    async def run(self, model: Loaded, function: str, inputs: Rows) -> Rows:
        while not (actor := await self._idle.get()).usable:
            pass
        return await asyncio.shield(self._keep(self._computed(actor, model.key, function, inputs)))

    async def retire(self, model: Loaded) -> None:
        del self._models[model.key]
        for actor in self._present():
            actor.forget(model.key)

    def seats(self) -> list[Seat]:
        found = []
        for place in self._places:
            actor = place.actor
            found.append(Seat(place.name, actor and actor.worker, actor and actor.since, place.lost))
        return found

    async def close(self) -> None:
        tasks = tuple(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)  # each has ended its replica
        await asyncio.to_thread(self._stack.close)

    def _present(self) -> list[Actor]:
        return [place.actor for place in self._places if place.actor is not None]

    def _keep(self, work: Any) -> asyncio.Task[Any]:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    async def _loaded(self, exports: Sequence[tuple[Path, str, Manifest, Files]]) -> list[Loaded]:
        loaded = []
        for folder, digest, manifest, files in exports:
            each = Loaded(str(next(self._keys)), digest, manifest.functions)
            loaded.append(each)
            self._models[each.key] = digest, await asyncio.to_thread(self._ray.put, files)
            try:
                await self._spread(each.key)
            except (LostWorkerError, ValueError) as error:
                for one in loaded:
                    await self.retire(one)
                raise InputError(f"{folder}: {reason(error)}") from error
        return loaded

    async def _spread(self, key: str) -> None:
        """To one, and where it lives to all. ValueError where it cannot be loaded, LostWorkerError where one ends."""
        first, *others = self._present()
        await first.load(key, *self._models[key], PATIENCE)
        loads = (actor.load(key, *self._models[key], PATIENCE) for actor in others)
        for found in await asyncio.gather(*loads, return_exceptions=True):
            if isinstance(found, ValueError):
                raise found

    async def _computed(self, actor: Actor, key: str, function: str, inputs: Rows) -> Rows:
        try:
            return await actor.run(key, function, inputs, self._stall)
        finally:
            if actor.usable:
                self._idle.put_nowait(actor)

    async def _kept(self, place: Place, ready: asyncio.Event) -> None:
        """Starts a replica, and another when it has ended, until it is cancelled."""
        while True:
            begun = time.monotonic()
            actor = Actor(self._ray, **self._given)
            try:
                await actor.start(PATIENCE)
                async with self._lock:
                    for key, model in self._models.items():
                        await actor.load(key, *model, PATIENCE)
                    place.actor = actor
                self._log("worker", seat=place.name, id=actor.worker, ms=round(1000 * (time.monotonic() - begun), 1))
                self._idle.put_nowait(actor)
                ready.set()
                await actor.ended()
            except (LostWorkerError, ValueError) as error:
                self._log("worker failed", seat=place.name, error=reason(error))
                await asyncio.sleep(PAUSE)
            finally:
                actor.kill()
            place.actor, place.lost = None, place.lost + 1
            self._log("worker lost", seat=place.name, id=actor.worker)

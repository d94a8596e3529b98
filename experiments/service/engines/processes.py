"""The engine of processes: workers that are forks of a server which has every export loaded.

A worker that ends or hangs is replaced by another fork, in milliseconds, and its batch is lost to the front, which
tries it again. Another export is loaded by another server, whose workers take the seats of the old one's; these end
after their batch. So no export that cannot be loaded, or crashes what loads it, is met by those that answer.
"""

import asyncio
import time
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from jensen.experiments.run.errors import InputError
from jensen.experiments.service.engines.copies import Copies
from jensen.experiments.service.engines.forkserver import ForkServer, Plan
from jensen.experiments.service.engines.remote import WorkerProcess
from jensen.experiments.service.engines.seam import Loaded, LostWorkerError, Rows, Seat

PAUSE = 0.2  # seconds between tries to start what does not start


@dataclass(eq=False)
class Place:
    """A seat, and who is there."""

    name: str
    worker: WorkerProcess | None = None
    lost: int = 0

    @property
    def seat(self) -> Seat:
        return Seat(self.name, self.worker and str(self.worker.pid), self.worker and self.worker.since, self.lost)


class Processes:
    """As many workers, each with a batch at a time. One that has no result after `stall` seconds is ended.

    threads: torch's, in a worker; log: is given events and their values.
    """

    def __init__(self, width: int, workers: int, threads: int = 1, stall: float = 5.0,
                 log: Callable[..., object] = lambda event, **values: None):  # fmt: skip
        self.at_once, self._width, self._threads, self._stall, self._log = workers, width, threads, stall, log
        self._places = [Place(f"worker-{i}") for i in range(workers)]
        self._idle = asyncio.Queue[WorkerProcess]()
        self._copies = Copies()
        self._loaded: dict[str, Loaded] = {}
        self._server: ForkServer | None = None
        self._servers = set[ForkServer]()  # with those whose last workers are still at a batch
        self._loading, self._tasks = asyncio.Lock(), set[asyncio.Task[None]]()

    @property
    def server(self) -> int | None:
        """The fork server's process id."""
        return self._server and self._server.pid

    async def start(self) -> None:
        pass

    async def load(self, folders: Sequence[Path]) -> list[Loaded]:
        """By another server, which takes seconds and its memory once more. InputError leaves all as it was."""
        async with self._loading:
            loaded = await asyncio.to_thread(self._copies.add, folders)
            new = {each.key: each for each in loaded}
            try:
                server = await self._started({**self._loaded, **new})
            except InputError as error:
                text = self._copies.named(str(error))
                self._copies.drop(*new)
                raise InputError(text) from error
            self._loaded |= new
            before, self._server = self._server, server
            self._replace(before)
        return loaded

    async def run(self, model: Loaded, function: str, inputs: Rows) -> Rows:
        while not (worker := await self._idle.get()).usable:
            pass
        try:
            return await worker.compute({"key": model.key, "function": function}, inputs, self._stall)
        finally:
            if worker.usable:
                self._idle.put_nowait(worker)

    async def retire(self, model: Loaded) -> None:
        """Its memory is free after the next load."""
        async with self._loading:  # of a server that still reads it
            del self._loaded[model.key]
            self._copies.drop(model.key)

    def seats(self) -> list[Seat]:
        return [place.seat for place in self._places]

    async def close(self) -> None:
        for task in tuple(self._tasks):
            task.cancel()
        self._server = None
        for place in self._places:
            if place.worker is not None:
                place.worker.kill()
        for server in tuple(self._servers):
            await server.close()
        self._copies.close()

    async def _started(self, exports: dict[str, Loaded]) -> ForkServer:
        folders = {key: self._copies.folder(key) for key in exports}
        digests = {key: each.digest for key, each in exports.items()}
        server = await ForkServer.start(Plan(folders, digests, self._width, self._threads), self._server_ended)
        self._servers.add(server)
        return server

    def _replace(self, before: ForkServer | None) -> None:
        """New workers in all seats; those of the server before end after their batch, and then it does."""
        leaving = [place.worker for place in self._places if place.worker is not None]
        for place in self._places:
            place.worker = None
            self._spawn(self._fill(place))
        for worker in leaving:
            worker.retire()
        if before is not None:
            self._spawn(self._leave(before, leaving))

    async def _leave(self, server: ForkServer, workers: list[WorkerProcess]) -> None:
        for worker in workers:
            await worker.gone.wait()
        await server.close()
        self._servers.discard(server)

    async def _fill(self, place: Place) -> None:
        """A worker of the present server in an empty seat."""
        begun = time.monotonic()
        while place.worker is None and (server := self._server) is not None:
            try:
                worker = await server.fork(partial(self._worker_ended, place))
            except LostWorkerError:
                await asyncio.sleep(PAUSE)
                continue
            if place.worker is None and server is self._server and worker.usable:
                place.worker = worker
                self._idle.put_nowait(worker)
                seconds = round(1000 * (time.monotonic() - begun), 1)
                self._log("worker", seat=place.name, id=worker.pid, ms=seconds)
            else:
                worker.close()

    def _worker_ended(self, place: Place, worker: WorkerProcess) -> None:
        if place.worker is worker and self._server is not None:
            place.worker, place.lost = None, place.lost + 1
            self._log("worker lost", seat=place.name, id=worker.pid)
            self._spawn(self._fill(place))

    def _server_ended(self, server: ForkServer) -> None:
        self._servers.discard(server)
        if server is self._server:
            self._log("fork server lost", id=server.pid)
            self._spawn(self._restart(server))

    async def _restart(self, ended: ForkServer) -> None:
        """Another server, for the workers to come; those that there are go on."""
        async with self._loading:
            while self._server is ended:
                begun = time.monotonic()
                try:
                    self._server = await self._started(self._loaded)
                    self._log("fork server", id=self._server.pid, ms=round(1000 * (time.monotonic() - begun), 1))
                except InputError as error:
                    self._log("fork server lost", error=self._copies.named(str(error)))
                    await asyncio.sleep(PAUSE)

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

"""A replica of Ray's as the front sees it: calls with a limit on their time, after which its process is ended."""

import asyncio
import time
from contextlib import suppress
from typing import Any

from jensen.experiments.service.engines import frames
from jensen.experiments.service.engines.replica import Replica
from jensen.experiments.service.engines.seam import LostWorkerError, Rows


class Actor:
    """On whichever machine has room. It loads and runs at the same time, one of each.

    ray: the module, connected.
    """

    def __init__(self, ray: Any, width: int, threads: int):
        self._ray = ray
        options = {"num_cpus": threads, "scheduling_strategy": "SPREAD", "concurrency_groups": {"load": 1, "last": 1}}
        self._handle = ray.remote(**options)(Replica).remote(width, threads)
        self.worker: str | None = None  # its id
        self.since: float | None = None  # when its present batch was begun
        self.usable = True

    async def start(self, seconds: float) -> None:
        self.worker = await self._within(seconds, self._handle.worker.remote())

    async def load(self, key: str, digest: str, files: Any, seconds: float) -> None:
        """Of Ray's reference to an export's files. ValueError where they are no sound export."""
        await self._within(seconds, self._handle.load.options(concurrency_group="load").remote(key, digest, files))

    def forget(self, key: str) -> None:
        self._handle.forget.remote(key)

    async def run(self, key: str, function: str, inputs: Rows, seconds: float) -> Rows:
        """A batch's outputs. RuntimeError for what the function has raised, LostWorkerError as all calls."""
        self.since = time.monotonic()
        try:
            found = await self._within(seconds, self._handle.run.remote(key, function, frames.saved(inputs)))
            return frames.opened(found)
        finally:
            self.since = None

    async def ended(self) -> None:
        """Returns when the process has ended."""
        with suppress(LostWorkerError):
            await self._within(None, self._handle.last.options(concurrency_group="last").remote())

    def kill(self) -> None:
        if self.usable:
            self.usable = False
            self._ray.kill(self._handle)

    async def _within(self, seconds: float | None, result: Any) -> Any:
        """What a call comes to.

        Raises:
            LostWorkerError: the process has ended, or had no result after as many seconds and was killed.
            Exception: what it has raised.
        """
        try:
            async with asyncio.timeout(seconds):
                return await result
        except TimeoutError as error:
            self.kill()
            raise LostWorkerError(f"worker {self.worker} had no result in {seconds:g} s") from error
        except self._ray.exceptions.RayTaskError as error:
            raise error.cause from None
        except self._ray.exceptions.RayError as error:
            self.kill()
            raise LostWorkerError(f"worker {self.worker} has ended ({type(error).__name__})") from error
